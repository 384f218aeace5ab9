"""Damage is detected, named and skipped: checkpoints of two real processes, damaged in every way."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterrun.training.checkpointing.checksum import Sum, start_checksum
from clusterrun.training.checkpointing.manifest import find_damage, read, seal
from clusterrun.training.checkpointing.store import Checkpoints
from tests.training_scripts.launches import (
    ROOT,
    attempt_of,
    clean_environment,
    names,
    result_of_rank,
    start_two,
)

SAVE_STEPS = ROOT / "tests" / "training_scripts" / "save_steps.py"
LOAD_PLAIN = ROOT / "tests" / "training_scripts" / "load_plain.py"
NEWEST = "step-00000006-0001"


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clean) -> Path:
    """Return a run of two processes with the checkpoints of steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("trained")
    environment = clean | attempt_of(folder, CHECKPOINT_EVERY="2 steps")
    end = start_two(SAVE_STEPS, folder, environment=environment, log=folder / "log").wait()
    assert end.code == 0, end.output
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """Return a copy of that run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def files(checkpoint: Path) -> list[Path]:
    return sorted(
        path for path in checkpoint.rglob("*") if path.is_file() and path.name != "manifest.json"
    )


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (flip_a_bit, "{name}'s checksum differs"),
    "truncated": (truncate, "{name} has {less} bytes instead of {size}"),
    "missing": (Path.unlink, "{name} is missing"),
    "appended": (append, "{name} has {more} bytes instead of {size}"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_to_every_file_is_named(run, kind):
    """A change of one byte in any file of a checkpoint is detected, and reported with the file's
    name.
    """
    spoil, words = DAMAGES[kind]
    checkpoint = run / "checkpoints" / NEWEST
    assert find_damage(checkpoint) is None
    assert len(files(checkpoint)) >= 4
    for path in files(checkpoint):
        data = path.read_bytes()
        spoil(path)
        size = len(data)
        assert find_damage(checkpoint) == words.format(
            name=path.name, size=size, less=size - 1, more=size + 1
        )
        path.write_bytes(data)
    assert find_damage(checkpoint) is None


def test_every_flipped_bit_of_a_manifest_is_detected(run):
    """A manifest contains a checksum of itself: a change of any bit is detected."""
    path = run / "checkpoints" / NEWEST / "manifest.json"
    whole = path.read_bytes()
    for bit in random.Random(1).sample(range(8 * len(whole)), 500):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert find_damage(path.parent) == "its manifest.json is corrupt: its own checksum differs"
        assert read(path.parent) is None
    for data in (b"", whole[:-1], whole + b"\n", whole[1:], b"{}"):
        path.write_bytes(data)
        assert find_damage(path.parent) == "its manifest.json is corrupt: its own checksum differs"
    path.unlink()
    assert find_damage(path.parent) == "it has no manifest.json"
    path.mkdir()
    assert find_damage(path.parent) == "its manifest.json cannot be read: is a directory"


def test_a_manifest_of_another_version_is_skipped(tmp_path):
    """A checkpoint sealed by a later version is skipped with the reason, not read as if it were
    ours.
    """
    seal(tmp_path, {})
    body = (
        (tmp_path / "manifest.json")
        .read_text()
        .replace('"version": 1', '"version": 2')
        .rpartition(",\n")[0]
    )
    (tmp_path / "manifest.json").write_text(
        body + f',\n "crc32": "{zlib.crc32(body.encode()):08x}"\n}}\n'
    )
    assert (
        find_damage(tmp_path)
        == "its manifest.json has version 2, but this clusterrun reads version 1"
    )


def test_files_outside_the_manifest_are_no_damage(run):
    """A note that somebody leaves in a checkpoint does not corrupt it."""
    (run / "checkpoints" / NEWEST / "note.txt").write_text("the good one\n")
    assert find_damage(run / "checkpoints" / NEWEST) is None


def test_the_manifest_describes_the_state(trained):
    """It has the step, the position, the world size, the precision, the strategy, the versions, and
    each file with its size and CRC-32.
    """
    checkpoint = trained / "checkpoints" / NEWEST
    content = json.loads((checkpoint / "manifest.json").read_text())
    versions = content.pop("versions")
    assert sorted(versions) == ["accelerate", "clusterrun", "python", "torch"]
    assert all(versions.values())
    entries = content.pop("files")
    content.pop("crc32")
    assert content.pop("sharing")["accumulation"] == 1
    assert content == {
        "version": 1, "attempt": 1, "step": 6, "epoch": 0, "batch": 0, "world_size": 2, "precision": "no",
        "strategy": "MULTI_CPU",
    }  # fmt: skip
    expected = {
        path.name: {"size": path.stat().st_size, "crc32": f"{zlib.crc32(path.read_bytes()):08x}"}
        for path in files(checkpoint)
    }
    assert entries == expected
    assert {
        "model.safetensors",
        "optimizer.bin",
        "random_states_0.pkl",
        "random_states_1.pkl",
    } <= entries.keys()


def test_the_newest_checkpoint_that_verifies_is_used(run, capsys):
    """Each skipped checkpoint is named with the reason."""
    flip_a_bit(run / "checkpoints" / NEWEST / "optimizer.bin")
    (run / "checkpoints" / "step-00000004-0001" / "random_states_1.pkl").unlink()
    newest = Checkpoints(run / "checkpoints", run / "staging", attempt=2, keep=None).newest()
    assert newest is not None
    assert (newest.name, newest.world_size) == ("step-00000002-0001", 2)
    printed = capsys.readouterr().err
    assert f"skipping {NEWEST}: optimizer.bin's checksum differs\n" in printed
    assert "skipping step-00000004-0001: random_states_1.pkl is missing\n" in printed
    assert "verified step-00000002-0001: " in printed


def test_without_a_valid_checkpoint_training_restarts(run):
    """If all are corrupt, a run restarts from step 0 rather than from a wrong state."""
    for path in (run / "checkpoints").iterdir():
        truncate(path / "model.safetensors")
    assert Checkpoints(run / "checkpoints", run / "staging", attempt=2, keep=None).newest() is None


def test_an_attempt_resumes_from_before_the_damage(run, clean):
    """Two processes resume from the checkpoint before a truncated one, and save that step again
    under their own name.
    """
    truncate(run / "checkpoints" / NEWEST / "model.safetensors")
    environment = clean | attempt_of(run, "0002", CHECKPOINT_EVERY="2 steps")
    end = start_two(SAVE_STEPS, run, environment=environment, log=run / "log").wait()
    assert end.code == 0, end.output
    assert f"skipping {NEWEST}: model.safetensors has " in end.output
    assert "resumed from step-00000004-0001" in end.output
    assert result_of_rank(run, 0)["began"] == result_of_rank(run, 1)["began"] == 4
    assert find_damage(run / "checkpoints" / "step-00000006-0002") is None
    assert NEWEST in names(run)  # the spec keeps all


def test_plain_accelerate_reads_a_checkpoint(trained, clean):
    """A checkpoint is Accelerate's own: `accelerator.load_state` without clusterrun restores the
    weights to the bit.
    """
    checkpoint = trained / "checkpoints" / NEWEST
    end = start_two(LOAD_PLAIN, checkpoint, environment=clean, log=trained / "log-plain").wait()
    assert end.code == 0, end.output
    assert f"weight {result_of_rank(trained)['weight']}\n" in end.output


def test_a_checksum_computed_in_parts_is_that_of_the_whole(tmp_path, monkeypatch):
    """However many threads share a file, its checksum is zlib's for the whole file."""
    monkeypatch.setattr("clusterrun.training.checkpointing.checksum._SEGMENT", 1000)
    with ThreadPoolExecutor(4) as pool:
        for size in (0, 1, 999, 1000, 1001, 5000, 12_345):
            data = random.Random(size).randbytes(size)
            (tmp_path / "file").write_bytes(data)
            assert start_checksum(tmp_path / "file", size, pool)() == Sum(size, zlib.crc32(data))
            assert start_checksum(tmp_path / "file", size + 1, pool)().size == size
