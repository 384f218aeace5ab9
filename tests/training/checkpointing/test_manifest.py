"""A manifest is written last and seen on the disk, and says of each kind of damage what it is."""

from __future__ import annotations

import json
import os
import stat
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterrun.training.checkpointing import checksum, manifest
from tests.support.disk_calls import DiskCalls, open_descriptors


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of a state: two files, one of them in a folder below."""
    made = tmp_path / "state"
    (made / "below").mkdir(parents=True)
    (made / "model").write_text("weights")
    (made / "below" / "optimizer").write_text("momenta")
    return made


def test_all_is_on_the_disk_before_and_after_the_manifest_has_its_name(folder, monkeypatch):
    """Files, then the folders that name them, then the manifest, then the name of the manifest."""
    calls = DiskCalls(monkeypatch)
    manifest.seal(folder, {"step": 3})
    draft = f".manifest.json.{os.getpid()}"
    assert sorted(calls.names[:2]) == [("fsync", "model"), ("fsync", "optimizer")]
    assert calls.names[2:] == [
        ("fsync", "below"),
        ("fsync", "state"),
        ("fsync", draft),
        ("rename", draft),
        ("fsync", "state"),
    ]


def test_changed_facts_are_on_the_disk(folder, monkeypatch):
    """The files are not looked at again, and nothing else changes."""
    manifest.seal(folder, {"step": 3, "batch": 1})
    files = (manifest.read(folder) or {})["files"]
    (folder / "model").unlink()
    calls = DiskCalls(monkeypatch)
    manifest.update_facts(folder, {"batch": 2})
    draft = f".manifest.json.{os.getpid()}"
    assert calls.names == [("fsync", draft), ("rename", draft), ("fsync", "state")]
    content = manifest.read(folder) or {}
    assert (content["step"], content["batch"], content["files"]) == (3, 2, files)


@pytest.mark.parametrize("content", [None, "{}", ""])
def test_facts_of_a_folder_that_is_not_sealed_are_not_changed(folder, content):
    """A damaged manifest must not become a whole one."""
    if content is not None:
        (folder / "manifest.json").write_text(content)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match=r"no valid manifest\.json"):
        manifest.update_facts(folder, {"batch": 2})
    assert sorted(path.name for path in folder.iterdir()) == before
    assert manifest.read(folder) is None


def test_what_a_manifest_has(folder):
    """It is JSON that a person can read, with the files' sizes and checksums, and ends with its own checksum."""
    manifest.seal(folder, {"step": 3})
    text = (folder / "manifest.json").read_text()
    assert manifest.read(folder) == json.loads(text)
    assert json.loads(text) | {"crc32": ""} == {
        "version": 1,
        "step": 3,
        "crc32": "",
        "files": {
            "model": {"size": 7, "crc32": f"{zlib.crc32(b'weights'):08x}"},
            "below/optimizer": {"size": 7, "crc32": f"{zlib.crc32(b'momenta'):08x}"},
        },
    }
    lines = text.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith(' "')] == [
        ' "files"',
        ' "step"',
        ' "version"',
        ' "crc32"',
    ]
    assert lines[-2:] == [f' "crc32": "{json.loads(text)["crc32"]}"', "}"]


def test_a_manifest_is_as_open_as_the_state_beside_it(folder):
    """A teammate who may read the weights may read what they are; no more than the umask allows."""
    for mask in (0, 0o027):
        before = os.umask(mask)
        try:
            manifest.seal(folder, {})
        finally:
            os.umask(before)
        assert stat.S_IMODE((folder / "manifest.json").stat().st_mode) == 0o666 & ~mask


def test_an_earlier_manifest_is_no_file_of_the_state(folder):
    """A folder that is sealed again does not name its own manifest."""
    manifest.seal(folder, {})
    manifest.seal(folder, {})
    assert sorted((manifest.read(folder) or {})["files"]) == ["below/optimizer", "model"]
    assert manifest.find_damage(folder) is None


def test_stock_that_was_taken_is_not_taken_again(folder, monkeypatch):
    """Each process takes stock of its own files; who writes the manifest has all of it in hand."""
    entries = manifest.take_stock(folder, mine=lambda name: name == "model")
    assert sorted(entries) == ["model"]
    calls = DiskCalls(monkeypatch)
    manifest.seal(folder, {}, entries)
    assert (manifest.read(folder) or {})["files"] == entries
    assert [name for call, name in calls.names if call == "fsync"][-1] == "state"
    assert ("fsync", "model") not in calls.names
    manifest.seal(folder, {}, {})  # nothing of one's own is not nothing known
    assert (manifest.read(folder) or {})["files"] == {}


def test_stock_is_taken_by_the_given_workers(folder):
    """They are the caller's, who ends a save by them."""
    asked: list[object] = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *given: object, **more: object) -> Future:
            asked.append(given)
            return super().submit(*given, **more)

    assert sorted(manifest.take_stock(folder, workers=Counted(1))) == ["below/optimizer", "model"]
    assert len(asked) >= 4


def test_a_disk_that_takes_nothing_is_heard(folder, monkeypatch):
    """What fsync says of one file, or of one folder, reaches the caller, and there is no manifest."""
    for refused in ("optimizer", "below"):
        with monkeypatch.context() as patched:

            def fsync(descriptor: int, refused: str = refused) -> None:
                if Path(f"/proc/self/fd/{descriptor}").readlink().name == refused:
                    raise OSError(28, "No space left on device")

            patched.setattr(os, "fsync", fsync)
            with pytest.raises(OSError, match="No space left"):
                manifest.seal(folder, {})
        assert manifest.read(folder) is None


def test_no_descriptor_is_left_open(folder):
    """A run saves thousands of times."""
    descriptors = open_descriptors()
    manifest.seal(folder, {})
    assert manifest.find_damage(folder) is None
    assert open_descriptors() == descriptors


def test_a_folder_that_cannot_be_listed_is_not_sealed(folder, monkeypatch):
    """os.walk leaves out in silence what it cannot list: the manifest would be of less than the state."""
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        manifest.seal(folder, {})


@pytest.mark.parametrize("name", ["model", "below/optimizer"])
def test_a_file_that_cannot_be_read_is_damage(folder, name):
    """A folder in its place, or one that is a loop of links, is told with the system's words."""
    manifest.seal(folder, {})
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    assert (
        manifest.find_damage(folder) == f"{name} cannot be read: Too many levels of symbolic links"
    )


def test_a_file_that_the_disk_does_not_give_is_damage(folder):
    """A file of the right size whose content cannot be read is named as well."""
    size = (folder / "below").stat().st_size  # a folder opens, has a size, and cannot be read
    manifest.seal(folder, {}, {"below": {"size": size, "crc32": "00000000"}})
    assert manifest.find_damage(folder) == "below cannot be read: Is a directory"


def test_a_folder_where_a_file_was_is_a_missing_file(folder):
    """So is a file where a folder was."""
    manifest.seal(folder, {})
    (folder / "below" / "optimizer").unlink()
    (folder / "below").rmdir()
    (folder / "below").write_text("")
    assert manifest.find_damage(folder) == "below/optimizer is missing"


def test_the_first_damage_by_name_is_told_and_the_reading_ends(folder):
    """Each file that was read well is told to the caller, for a progress bar; none after the damage."""
    (folder / "zeta").write_text("last")
    manifest.seal(folder, {})
    told: list[int] = []
    assert manifest.find_damage(folder, told.append) is None
    assert told == [7, 7, 4]
    (folder / "model").write_text("WEIGHTS")
    (folder / "zeta").write_text("LAST")
    told.clear()
    assert manifest.find_damage(folder, told.append) == "model's checksum differs"
    assert told == [7]
    (folder / "zeta").unlink()
    assert (
        manifest.find_damage(folder) == "zeta is missing"
    )  # sizes are compared before any content


def test_after_a_damage_no_other_file_is_read(tmp_path, monkeypatch):
    """A resume that has found the first damage does not read the other terabyte."""
    for number in range(100):
        (tmp_path / f"{number:03d}").write_text("shard")
    manifest.seal(tmp_path, {})
    (tmp_path / "000").write_text("SHARD")
    part, read = checksum._checksum_part, []

    def slow_part(path: Path, start: int) -> checksum.Sum:
        if path.name != "000":
            time.sleep(0.5)
        read.append(path.name)
        return part(path, start)

    monkeypatch.setattr(checksum, "_checksum_part", slow_part)
    assert manifest.find_damage(tmp_path) == "000's checksum differs"
    assert len(read) < 50
