"""A manifest is written last and is durable, and each kind of damage is identified."""

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
    """A folder with a state: two files, one of them in a subfolder."""
    state = tmp_path / "state"
    (state / "below").mkdir(parents=True)
    (state / "model").write_text("weights")
    (state / "below" / "optimizer").write_text("momenta")
    return state


def test_files_and_manifest_are_durable_before_the_manifest_is_renamed(folder, monkeypatch):
    """First the files, then their folders, then the manifest, then its name."""
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


def test_changed_facts_are_durable(folder, monkeypatch):
    """The files are not read again, and nothing else changes."""
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
def test_facts_of_an_unsealed_folder_are_not_changed(folder, content):
    """A corrupt manifest must not become a valid one."""
    if content is not None:
        (folder / "manifest.json").write_text(content)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match=r"no valid manifest\.json"):
        manifest.update_facts(folder, {"batch": 2})
    assert sorted(path.name for path in folder.iterdir()) == before
    assert manifest.read(folder) is None


def test_the_content_of_a_manifest(folder):
    """It is JSON that a person can read, with the files' sizes and checksums, and ends with its own
    checksum.
    """
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


def test_a_manifest_has_the_permissions_of_the_umask(folder):
    """A teammate who may read the weights may also read their description; the umask limits both."""
    for mask in (0, 0o027):
        before = os.umask(mask)
        try:
            manifest.seal(folder, {})
        finally:
            os.umask(before)
        assert stat.S_IMODE((folder / "manifest.json").stat().st_mode) == 0o666 & ~mask


def test_an_earlier_manifest_is_not_part_of_the_state(folder):
    """A folder that is sealed again does not list its own manifest."""
    manifest.seal(folder, {})
    manifest.seal(folder, {})
    assert sorted((manifest.read(folder) or {})["files"]) == ["below/optimizer", "model"]
    assert manifest.find_damage(folder) is None


def test_checksums_are_not_computed_twice(folder, monkeypatch):
    """Each process computes those of its own files; the process that writes the manifest receives
    all of them.
    """
    entries = manifest.take_stock(folder, mine=lambda name: name == "model")
    assert sorted(entries) == ["model"]
    calls = DiskCalls(monkeypatch)
    manifest.seal(folder, {}, entries)
    assert (manifest.read(folder) or {})["files"] == entries
    assert [name for call, name in calls.names if call == "fsync"][-1] == "state"
    assert ("fsync", "model") not in calls.names
    manifest.seal(folder, {}, {})  # an empty list of own files differs from None
    assert (manifest.read(folder) or {})["files"] == {}


def test_checksums_are_computed_by_the_given_workers(folder):
    """They belong to the caller, who cancels a save by them."""
    submitted: list[object] = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *given: object, **more: object) -> Future:
            submitted.append(given)
            return super().submit(*given, **more)

    assert sorted(manifest.take_stock(folder, workers=Counted(1))) == ["below/optimizer", "model"]
    assert len(submitted) >= 4


def test_a_failed_fsync_is_reported(folder, monkeypatch):
    """An error of fsync on a file or a folder reaches the caller, and no manifest is written."""
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
    """os.walk silently omits folders that it cannot list: the manifest would be incomplete."""
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
    """A folder in its place, or a loop of links, is reported with the system's message."""
    manifest.seal(folder, {})
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    assert (
        manifest.find_damage(folder) == f"{name} cannot be read: Too many levels of symbolic links"
    )


def test_a_file_with_a_read_error_is_damage(folder):
    """A file of the right size whose content cannot be read is named as well."""
    size = (
        (folder / "below").stat().st_size
    )  # a folder can be opened, has a size, and cannot be read
    manifest.seal(folder, {}, {"below": {"size": size, "crc32": "00000000"}})
    assert manifest.find_damage(folder) == "below cannot be read: Is a directory"


def test_a_folder_in_place_of_a_file_is_a_missing_file(folder):
    """So is a file in place of a folder."""
    manifest.seal(folder, {})
    (folder / "below" / "optimizer").unlink()
    (folder / "below").rmdir()
    (folder / "below").write_text("")
    assert manifest.find_damage(folder) == "below/optimizer is missing"


def test_reading_ends_at_the_first_damage_by_name(folder):
    """Each verified file is reported to the caller, for a progress bar; none after the damage."""
    (folder / "zeta").write_text("last")
    manifest.seal(folder, {})
    progress: list[int] = []
    assert manifest.find_damage(folder, progress.append) is None
    assert progress == [7, 7, 4]
    (folder / "model").write_text("WEIGHTS")
    (folder / "zeta").write_text("LAST")
    progress.clear()
    assert manifest.find_damage(folder, progress.append) == "model's checksum differs"
    assert progress == [7]
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
