"""The test command's own exit status: what CI and a user believe."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Stands in for pytest: the group named in FAILS has FAILURES failures, again in its second run where TWICE is set.
PYTEST = """#!/bin/bash
cache=$(printf '%s\\n' "$@" | sed -n 's/^cache_dir=//p')
echo "pytest $*" >> calls
[ "$(basename "$cache")" = "$FAILS" ] || exit 0
[[ " $* " != *" --last-failed "* || $TWICE ]] || exit 0
mkdir -p "$cache/v/cache"
for number in $(seq "$FAILURES"); do echo "\\"tests/test_x.py::test_$number\\": true"; done > "$cache/v/cache/lastfailed"
exit 1
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the test command, where pytest, `sudo` and the check of style are stand-ins."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "test", tmp_path / "tools")
    programs = {
        ".venv/bin/python": PYTEST,
        "tools/check": "#!/bin/bash\n",
        "bin/sudo": '#!/bin/bash\nshift; exec "$@"\n',
    }
    for name, text in programs.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    return tmp_path


def run(checkout: Path, fails: str, failures: int = 1, twice: str = "") -> tuple[int, list[str]]:
    """The exit status, and the calls of pytest."""
    outcome = {"FAILS": fails, "FAILURES": str(failures), "TWICE": twice}
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["tools/test"],
        cwd=checkout,
        env={**os.environ, **outcome, "PATH": path},
        timeout=60,
        check=False,
    )
    return done.returncode, (checkout / "calls").read_text().splitlines()


def test_it_ends_with_0_where_all_pass(checkout: Path) -> None:
    """Three groups, each once."""
    status, calls = run(checkout, "")
    assert (status, len(calls)) == (0, 3)


@pytest.mark.parametrize("group", ["survival", "slurm", "others"])
def test_what_failed_is_run_once_more(checkout: Path, group: str) -> None:
    """A group's failures alone are run again, and their second outcome counts."""
    status, calls = run(checkout, group)
    assert (status, len(calls)) == (0, 4)
    assert "--last-failed" in calls[-1]
    assert f"cache_dir=.pytest_cache/{group}" in calls[-1]


@pytest.mark.parametrize("group", ["survival", "slurm", "others"])
def test_what_fails_twice_fails(checkout: Path, group: str) -> None:
    """Once more is not once more and again."""
    status, calls = run(checkout, group, twice="yes")
    assert status != 0
    assert len(calls) == 4


def test_many_failures_are_no_chance(checkout: Path) -> None:
    """More than four are not run again."""
    status, calls = run(checkout, "slurm", failures=5)
    assert status != 0
    assert len(calls) == 3
