"""Bash, the training library and the status use the same names of causes."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from clusterrun.diagnosis.attempt_end import why_stopped
from clusterrun.job_spec.model import Requeue
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.causes import MEANINGS, Cause
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.file_status import status_from_files
from clusterrun.slurm.states import State
from tests.support.bash_functions import FUNCTIONS
from tests.support.bash_text import read_bash

BASH = "\n".join(path.read_text() for path in sorted(FUNCTIONS.glob("*.sh")))
BODIES = read_bash(BASH).bodies


def functions_that_find_a_cause() -> set[str]:
    """List the bash functions whose output becomes a cause, and those that they call for the
    answer.
    """
    found = set(re.findall(r"\bcause=\$\((\w+)", BASH)) - {"read_value", "quote_text"}
    while (
        more := {
            name
            for one in found
            for name in re.findall(r"^\s+(\w+)$", BODIES[one], re.MULTILINE)
            if name in BODIES
        }
        - found
    ):
        found |= more
    return found


def test_bash_and_python_know_the_same_causes() -> None:
    """The functions and the training library write only values of Cause; and one of them writes
    each Cause.
    """
    echoed = {
        word
        for name in functions_that_find_a_cause()
        for word in re.findall(r"\becho ([a-z-]+)", BODIES[name])
    }
    written = set(re.findall(r"\bcause=([a-z][a-z-]+)\b", BASH)) | set(
        re.findall(r"\brecord_end ([a-z-]+) ", BASH)
    )
    marked = {
        "finished",
        "no-restart",
    }  # outcomes of the training library that become causes unchanged
    known = {cause.value for cause in Cause}
    assert len(echoed) > 8
    assert echoed | written | marked <= known
    assert known - (echoed | written | marked) <= {"unknown"}


def test_the_outcomes_that_are_causes() -> None:
    """`find_end_cause` passes on two outcomes of the training library, which writes no other word
    that is a cause.
    """
    source = "".join(
        path.read_text()
        for path in (FUNCTIONS.parent.parent / "clusterrun" / "training").glob("*.py")
    )
    outcomes = set(re.findall(r'(?:write_marker\([^"]*|_end\()"([a-z-]+)"', source))
    assert {"finished", "no-restart"} <= outcomes
    assert outcomes & {cause.value for cause in Cause} == {"finished", "no-restart"}


def test_the_decision_names_only_causes() -> None:
    """requeue.on, and the patterns of the decision, use the names of the causes."""
    known = {cause.value for cause in Cause}
    assert set(get_args(get_args(Requeue.model_fields["on"].annotation)[0])) <= known
    patterns = re.findall(
        r"^\s+((?:[a-z-]+ \| )+[a-z-]+)\)",
        BODIES["decide_next"] + BODIES["may_continue_after"] + BODIES["explain_end"],
        re.MULTILINE,
    )
    assert {word for pattern in patterns for word in pattern.split(" | ")} <= known


def test_every_cause_has_a_meaning() -> None:
    """Each is in the one table, with a state of a run."""
    assert set(MEANINGS) == set(Cause)
    assert {meaning.state for meaning in MEANINGS.values()} <= set(State.__members__)


@pytest.mark.parametrize("word", ["something-new", "", "CRASH", "fin\ufffdshed", "x" * 5000])
def test_an_unknown_cause_is_shown_unchanged(tmp_path, word) -> None:
    """A record of a newer version, or a corrupt one, causes no traceback."""
    paths = RunPaths(tmp_path / "run-1")
    paths.events.mkdir(parents=True)
    write_record(paths.begin("0001"), {"job_id": 7, "began": 1})
    write_record(paths.end("0001"), {"cause": word, "next": "end", "exit_code": 1, "ended": 2})
    (attempt,) = list_attempts(paths)
    status = status_from_files(RunRef("run-1", paths))
    assert (attempt.cause, attempt.summary, status.reason, status.state) == (
        word,
        word,
        word,
        State.FAILED,
    )
    assert why_stopped(paths, attempt).meaning == word
