"""The test command's exit status, and that its processes run every test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import run_all, work_queue
from tests.support.times_report import longest_files, report

ROOT = Path(__file__).parents[1]

# Replaces pytest and the processes that it forks: the process named in FAILS has FAILURES failures,
# and so has the second run if TWICE is set; the one named in DIES is killed.
PYTEST = """#!/bin/bash
echo "pytest $*" >> calls
line() { printf '{"test": "tests/%s", "outcome": "%s", "cluster": false,' "$1" "$2" >> test-results/$name.jsonl
         printf ' "wall": 1, "own_cpu": 0.5, "children_cpu": 0.25}\\n' >> test-results/$name.jsonl; }
run() {
  line "test_$name.py::test_good" passed
  [ "$name" != "$DIES" ] || exit 137
  [ "$name" = "$FAILS" ] || { [ "$name" = again ] && [ -n "$TWICE" ]; } || exit 0
  for number in $(seq "$FAILURES"); do line "test_x.py::test_$number" failed; done
  exit 1
}
case "$*" in *--times*) name=again; run ;; esac
[ "$DIES" != collection ] || exit 2
while [ "$1" != --processes ]; do shift; done
for number in $(seq "$2"); do
  name=worker-$number
  (run) > test-results/$name.log
  echo $? > test-results/$name.code
done
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


def test_it_exits_with_0_if_all_pass(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One collection serves three processes; times are printed, and no test is listed as unsteady."""
    status, calls = run(monkeypatch, "")
    assert (status, len(calls)) == (0, 1)
    assert "-m not extended" in calls[0]
    assert "--processes 3" in calls[0]
    assert (
        "3.0      2.2     1.5     0.8     25%      3  without a cluster" in capsys.readouterr().out
    )
    assert not (checkout / run_all.UNSTEADY).exists()
    assert (checkout / run_all.RESULTS / "longest_files.txt").read_text().startswith("# Wall ")


def test_extended_tests_have_a_run_of_their_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--extended runs only the marked tests."""
    monkeypatch.setattr(sys, "argv", ["run_all", "--extended"])
    status, calls = run(monkeypatch, "")
    assert status == 0
    assert "-m extended" in calls[0]


@pytest.mark.parametrize("worker", ["worker-1", "worker-3"])
def test_failed_tests_are_run_once_more(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], worker: str
) -> None:
    """Only failures are run again; the second outcome counts, is written to a file, and shown last."""
    status, calls = run(monkeypatch, worker, 2)
    assert (status, len(calls)) == (0, 2)
    assert calls[-1].endswith("tests/test_x.py::test_1 tests/test_x.py::test_2")
    unsteady = [f"passed on the second try: tests/test_x.py::test_{number}" for number in (1, 2)]
    assert (checkout / run_all.UNSTEADY).read_text().splitlines() == unsteady
    assert capsys.readouterr().out.splitlines()[-2:] == unsteady


def test_a_test_that_fails_twice_fails(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is repeated only once."""
    status, calls = run(monkeypatch, "worker-2", TWICE="yes")
    assert (status, len(calls)) == (1, 2)
    assert (checkout / run_all.UNSTEADY).read_text() == "failed twice: tests/test_x.py::test_1\n"


def test_many_failures_are_not_repeated(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than four failures are not run again."""
    status, calls = run(monkeypatch, "worker-2", failures=5)
    assert (status, len(calls)) == (1, 1)


@pytest.mark.parametrize("fails", ["", "worker-2"])
@pytest.mark.parametrize("dies", ["worker-1", "collection"])
def test_a_process_that_dies_is_an_error(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, fails: str, dies: str
) -> None:
    """Its tests are lost, so the others' outcomes do not count."""
    status, calls = run(monkeypatch, fails, DIES=dies)
    assert (status, len(calls)) == (1, 1)


@pytest.mark.parametrize(
    ("words", "module"), [([], "tests.support.run_all"), (["--extended"], "tests.support.run_all"), (["-k", "x"], "pytest")]
)  # fmt: skip
def test_the_command_keeps_the_exit_status(tmp_path: Path, words: list[str], module: str) -> None:
    """tools/test checks the style, then runs all tests, or pytest with the given arguments."""
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
PLUGINS = ("times", "work_queue", "forked_workers")
TESTS = """
import pytest, time
with open("notes", "a") as file: file.write("collected\\n")
from pathlib import Path
@pytest.mark.parametrize("number", range(3))
def test_it(part, number):
    time.sleep(0.05)
    assert number != 1 or not Path(__file__).with_suffix(".bad").exists()
"""


def test_processes_share_the_files(tmp_path: Path) -> None:
    """Every test is collected once and runs once; module fixtures end with their file."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").touch()
    names = [f"test_{letter}" for letter in "abcdef"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(TESTS)
    (tmp_path / "test_c.bad").touch()
    plugins = [word for name in PLUGINS for word in ("-p", f"tests.support.{name}")]
    words = "-q -p no:cacheprovider --work-queue queue --processes 2 --results .".split()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "pytest", *plugins, *words], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    codes = sorted(path.read_text() for path in tmp_path.glob("worker-?.code"))
    logs = [path.read_text() for path in tmp_path.glob("worker-?.log")]
    assert codes == ["0\n", "1\n"], "\n".join(logs)
    assert sum("assert (1 != 1 or not True)" in log for log in logs) == 1
    assert sum("1 failed, " in log for log in logs) == 1
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
    assert notes.count("session ends") == notes.count("session") == 2
    assert notes.count("collected") == len(names)
    assert "test_it" in report(tmp_path.glob("*.jsonl"))


def test_files_are_long_from_40_seconds_on(tmp_path: Path) -> None:
    """The sum of a file's tests counts, and the list can be read again."""
    times = tmp_path / "worker-1.jsonl"
    lines = [
        ("tests/test_a.py::test_1", 25),
        ("tests/test_a.py::test_2", 20.4),
        ("tests/test_b.py::test", 39),
    ]
    spent = {"own_cpu": 1, "children_cpu": 1}
    times.write_text(
        "\n".join(json.dumps({"test": test, "wall": wall, **spent}) for test, wall in lines)
    )
    assert longest_files([times]).splitlines()[2:] == ["tests/test_a.py 45"]


def test_the_longest_files_exist() -> None:
    """The list has no name of a file that was renamed."""
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(work_queue.seconds_of_longest()) <= there
