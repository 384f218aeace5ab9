"""A stop request that nobody can handle, and checkpoint.signal for a process that is not ready for it.

Other members of the kind: a shell script around the program, a helper process with a handler, a
process that waits for a blocked signal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.bash_functions import FUNCTIONS, LOAD, said

NODE = "exit_code={code}\nstop_request={request}\nstop_handled={handled}\nanother_node_failed=\n"
STOPPED = [
    # per node: exit code, stop request, whether it was handled; the cause
    ([(0, "TERM", "")], "finished"),  # preempted, but it finished within the grace time
    ([(0, "stop", "")], "finished"),  # `clusterrun stop` could not reach it
    ([(0, "TERM", ""), (0, "", "")], "finished"),
    ([(0, "TERM", "yes")], "preemption"),
    ([(0, "TERM", ""), (0, "TERM", "yes")], "preemption"),
    ([(1, "TERM", "")], "preemption"),
]


@pytest.mark.parametrize(("nodes", "cause"), STOPPED)
def test_a_training_that_could_not_handle_a_stop_and_exits_with_0_has_finished(
    tmp_path: Path, nodes: list[tuple[int, str, str]], cause: str
) -> None:
    """Continuing it would train a finished run again."""
    for name in ("events", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "current").write_text("attempt=0001\n")
    (tmp_path / "logs" / "attempt-0001.log").touch()
    for number, (code, request, handled) in enumerate(nodes):
        record = NODE.format(code=code, request=request, handled=handled)
        (tmp_path / "events" / f"attempt-0001.node-{number}").write_text(record)
    given = {"run_dir": tmp_path, "attempt": "0001", "slurm_log": "/dev/null", "slurm_log_start": 0,
             "SLURM_JOB_ID": 7, "SLURM_JOB_NUM_NODES": len(nodes), "term_seen": "",
             "step_exit": max(code for code, _, _ in nodes)}  # fmt: skip
    assert said("find_end_cause", **given) == f"{cause}\n"


HANDLING = [
    # the stop request; variables; what the training did to the stop file; whether it may have stopped for it
    ("", "", "", False),
    ("TERM", "", "", False),
    ("TERM", "1", "", True),
    ("TERM", "", "echo saved > $CLUSTERRUN_STOP_FILE", True),
    ("TERM", "", "rm $CLUSTERRUN_STOP_FILE", True),
    ("TERM", "", ": > $run_dir/events/attempt-0001.resume", True),
    ("TERM", "", ": > $node_dir/stop_handled", True),
]


@pytest.mark.parametrize(("request_", "reads", "acts", "handled"), HANDLING)
def test_signs_that_a_training_has_handled_its_stop(
    tmp_path: Path, request_: str, reads: str, acts: str, handled: bool
) -> None:
    (tmp_path / "events").mkdir()
    given = {"run_dir": tmp_path, "node_dir": tmp_path, "attempt": "0001", "stop_request": request_,
             "reads_stop_file": reads, "CLUSTERRUN_STOP_FILE": tmp_path / "stop"}  # fmt: skip
    text = f": > $CLUSTERRUN_STOP_FILE; {acts or ':'}; find_stop_handling"
    assert said(text, **given) == ("yes\n" if handled else "")


HANDLER = (
    "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))\nsignal.pause()"
)
PROGRAMS = {
    "a handler that comes late": ("", f"import time\ntime.sleep(1.5)\n{HANDLER}"),
    "a shell script around it": ("bash -c 'trap : TERM; python3 program.py; exit $?'", HANDLER),
    "a blocked signal that is waited for": (
        "",
        "import signal, threading\nsignal.signal(10, signal.SIG_DFL)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {10})\n"
        "waiter = threading.Thread(target=signal.sigwait, args=({10},))\n"
        "waiter.start()\nwaiter.join()",
    ),
    "a helper without a handler": (
        "",
        f"import os\nif not os.fork():\n  import time; time.sleep(3); os._exit(1)\n{HANDLER}",
    ),
}
TASK = """
node_dir=$run_dir; exec 8< <(:)
( trap '' USR1; trap : USR1; launch() { eval "$command"; }; launch ) & launcher=$!
sleep 0.3
signal_training_processes & disown
wait "$launcher"; echo "$?"
"""


@pytest.mark.parametrize(("command", "program"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_stop_signal_waits_for_a_handler(tmp_path: Path, command: str, program: str) -> None:
    """A process that is still importing would lose it, or die of it: the run then trains to its end, and again."""
    (tmp_path / "program.py").write_text(program)
    given = {"PATH": os.environ["PATH"], "run_dir": str(tmp_path), "stop_signal": "USR1",
             "command": command.replace("python3", sys.executable) or f"{sys.executable} program.py"}  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", f"{LOAD}\n{TASK}", FUNCTIONS],
        env=given, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert (tmp_path / "stop_handled").exists()
    assert time.monotonic() - began < 30
