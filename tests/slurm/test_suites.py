"""A generation of Slurm that cannot be had is told of, and leaves nothing that could be taken for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import suites
from tests.slurm.cluster.suites import Unavailable

NOBODY = "http://127.0.0.1:9/debian/"  # no server listens at the discard port


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CLUSTERRUN_TEST_SUITES", str(tmp_path))
    suites.suite_with.cache_clear()
    yield tmp_path
    suites.suite_with.cache_clear()


def test_a_mirror_that_does_not_answer(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what failed; what was begun here, and broken off earlier, is gone."""
    monkeypatch.setattr(suites, "mirror", lambda: NOBODY)
    (store / "trixie.making-earlier" / "usr").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"debootstrap.*(getting|retrieve|Release)"):
        suites.suite_with("24.11")
    assert [path.name for path in store.iterdir()] == ["trixie.lock"]


def test_no_debootstrap(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the program is told so."""
    monkeypatch.setattr(suites, "mirror", lambda: NOBODY)
    monkeypatch.setenv("PATH", str(store))
    with pytest.raises(Unavailable, match=r"debootstrap.*No such file"):
        suites.suite_with("24.11")


def test_a_suite_that_has_moved_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's next suite gets newer Slurm by and by: its results are not written under the old one's name."""
    (store / "forky").mkdir()
    monkeypatch.setattr(suites, "version_in", lambda _: "26.11.1")
    with pytest.raises(Unavailable, match=r"Debian's forky has Slurm 26\.11\.1 now, not 26\.05"):
        suites.suite_with("26.05")
