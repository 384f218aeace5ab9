"""The test command's own exit status, which CI and a user believe, and that its processes leave out no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import run_all, work_queue
from tests.support.times_report import report

ROOT = Path(__file__).parents[1]

# Stands in for pytest: the process named in FAILS has FAILURES failures, and so has its second run if TWICE is set.
PYTEST = """#!/bin/bash
echo "pytest $*" >> calls
while [ "$1" != --times ]; do shift; done
name=$(basename "$2" .jsonl)
line() { printf '{"test": "tests/%s", "outcome": "%s", "cluster": false,' "$1" "$2" >> test-results/$name.jsonl
         printf ' "wall": 1, "own_cpu": 0.5, "children_cpu": 0.25}\\n' >> test-results/$name.jsonl; }
line "test_$name.py::test_good" passed
[ "$name" != "$DIES" ] || exit 137
[ "$name" = "$FAILS" ] || { [ "$name" = again ] && [ -n "$TWICE" ]; } || exit 0
for number in $(seq "$FAILURES"); do line "test_x.py::test_$number" failed; done
exit 1
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pytest is a stand-in."""
    program = tmp_path / "python"
    program.write_text(PYTEST)
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(sys, "argv", ["run_all"])
    monkeypatch.setenv("TEST_PROCESSES", "3")
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, fails: str, failures: int = 1, **more: str
) -> tuple[int, list[str]]:
    """The exit status, and the calls of pytest."""
    for name, value in {
        "FAILS": fails,
        "FAILURES": str(failures),
        "DIES": "",
        "TWICE": "",
        **more,
    }.items():
        monkeypatch.setenv(name, value)
    return run_all.main(), Path("calls").read_text().splitlines()


def test_it_ends_with_0_where_all_pass(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each process once; where the time went is printed, and nothing is called unsteady."""
    status, calls = run(monkeypatch, "")
    assert (status, len(calls)) == (0, 3)
    assert all("-m not extended" in call for call in calls)
    assert (
        "3.0      2.2     1.5     0.8     25%      3  without a cluster" in capsys.readouterr().out
    )
    assert not (checkout / run_all.UNSTEADY).exists()


def test_extended_tests_have_a_run_of_their_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--extended takes the marked tests alone."""
    monkeypatch.setattr(sys, "argv", ["run_all", "--extended"])
    status, calls = run(monkeypatch, "")
    assert status == 0
    assert all("-m extended" in call for call in calls)


@pytest.mark.parametrize("worker", ["worker-1", "worker-3"])
def test_what_failed_is_run_once_more(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], worker: str
) -> None:
    """The failures alone are run again; their second outcome counts, is written to a file, and is shown last."""
    status, calls = run(monkeypatch, worker, 2)
    assert (status, len(calls)) == (0, 4)
    assert calls[-1].endswith("tests/test_x.py::test_1 tests/test_x.py::test_2")
    told = [f"passed on the second try: tests/test_x.py::test_{number}" for number in (1, 2)]
    assert (checkout / run_all.UNSTEADY).read_text().splitlines() == told
    assert capsys.readouterr().out.splitlines()[-2:] == told


def test_what_fails_twice_fails(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once more is not once more and again."""
    status, calls = run(monkeypatch, "worker-2", TWICE="yes")
    assert (status, len(calls)) == (1, 4)
    assert (checkout / run_all.UNSTEADY).read_text() == "failed twice: tests/test_x.py::test_1\n"


def test_many_failures_are_no_chance(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than four are not run again."""
    status, calls = run(monkeypatch, "worker-2", failures=5)
    assert (status, len(calls)) == (1, 3)


@pytest.mark.parametrize("fails", ["", "worker-2"])
def test_a_process_that_dies_is_a_fault(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Its tests are lost, so the others' outcomes do not count."""
    status, calls = run(monkeypatch, fails, DIES="worker-1")
    assert (status, len(calls)) == (1, 3)


@pytest.mark.parametrize(
    ("words", "module"), [([], "tests.support.run_all"), (["--extended"], "tests.support.run_all"), (["-k", "x"], "pytest")]
)  # fmt: skip
def test_the_command_keeps_the_exit_status(tmp_path: Path, words: list[str], module: str) -> None:
    """tools/test checks the style, then runs all tests, or pytest with the words that it was given."""
    programs = {
        ".venv/bin/python": '#!/bin/bash\n[ "$*" != "-m tests.support.versions" ] || exit 0\necho "$*" >> calls\nexit 7\n',
        "tools/check": "#!/bin/bash\necho check >> calls\n",
        "bin/sudo": '#!/bin/bash\nshift; exec "$@"\n',
        "tools/test": (ROOT / "tools" / "test").read_text(),
    }
    for name, text in programs.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["tools/test", *words],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        timeout=60,
        check=False,
    )
    check, call = (tmp_path / "calls").read_text().splitlines()
    assert (done.returncode, check) == (7, "check")
    assert call.startswith(f"-m {module}")
    assert call.endswith(" ".join(words))


CONFTEST = """
import pytest
def note(word):
    with open("notes", "a") as file: file.write(word + "\\n")
@pytest.fixture(scope="session")
def whole():
    note("session"); yield; note("session ends")
@pytest.fixture(scope="module")
def part(whole, request):
    name = request.module.__name__; yield; note(name + " ends")
"""
TESTS = """
import pytest, time
from pathlib import Path
@pytest.mark.parametrize("number", range(3))
def test_it(part, number):
    time.sleep(0.05)
    assert number != 1 or not Path(__file__).with_suffix(".bad").exists()
"""


def test_processes_share_the_files(tmp_path: Path) -> None:
    """Every test runs exactly once; a module's fixtures end with its file, those of the session with the process."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").touch()
    names = [f"test_{letter}" for letter in "abcdef"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(TESTS)
    (tmp_path / "test_c.bad").touch()
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.times",
        "-p",
        "tests.support.work_queue",
    ]
    words += ["--work-queue", "queue", "-p", "no:cacheprovider", "--times"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            [*words, f"{number}.jsonl"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], "\n".join(told)
    lines = [
        json.loads(line)
        for file in tmp_path.glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    every = [f"{name}.py::test_it[{number}]" for name in names for number in range(3)]
    assert sorted(line["test"] for line in lines) == every
    assert [line["test"] for line in lines if line["outcome"] != "passed"] == [
        "test_c.py::test_it[1]"
    ]
    notes = (tmp_path / "notes").read_text().splitlines()
    assert sorted(note for note in notes if note.startswith("test")) == [
        f"{name} ends" for name in names
    ]
    assert notes[-1] == "session ends"
    assert "test_it" in report(tmp_path.glob("*.jsonl"))


def test_the_longest_files_are_there() -> None:
    """No name of the list is left from a file that was renamed."""
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(work_queue.seconds_of_longest()) <= there
