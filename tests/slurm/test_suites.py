"""An unavailable generation of Slurm is reported, and leaves nothing that could be taken for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import suites
from tests.slurm.cluster.suites import Unavailable

NOBODY = "http://127.0.0.1:9/debian/"  # no server listens on the discard port


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CLUSTERRUN_TEST_SUITES", str(tmp_path))
    suites.suite_with.cache_clear()
    yield tmp_path
    suites.suite_with.cache_clear()


def test_a_mirror_that_does_not_respond(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what failed; drafts of this and of earlier attempts are removed."""
    monkeypatch.setattr(suites, "mirror", lambda: NOBODY)
    (store / "trixie.making-earlier" / "usr").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"debootstrap.*(getting|retrieve|Release)"):
        suites.suite_with("24.11")
    assert [path.name for path in store.iterdir()] == ["trixie.lock"]


def test_missing_debootstrap(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the program gets a message."""
    monkeypatch.setattr(suites, "mirror", lambda: NOBODY)
    monkeypatch.setenv("PATH", str(store))
    with pytest.raises(Unavailable, match=r"debootstrap.*No such file"):
        suites.suite_with("24.11")


def test_a_suite_with_a_newer_slurm(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's next suite gets newer Slurm over time: its results are not written under the old
    version's name.
    """
    (store / "forky").mkdir()
    monkeypatch.setattr(suites, "version_in", lambda _: "26.11.1")
    with pytest.raises(Unavailable, match=r"Debian's forky has Slurm 26\.11\.1 now, not 26\.05"):
        suites.suite_with("26.05")
