"""`init` asks on a terminal for what no option says."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

from clusterrun.job_spec import load_spec


def test_questions_on_a_terminal(desk):
    """Questions go to stderr, only for missing options; empty means default; stdout stays data."""
    answers = ["", "zero2", "2", "", "", "1-00"]
    main, other = pty.openpty()
    options = ["--gpus-per-node", "0", "--account", "mine", "-o", "job.yaml"]
    words = [sys.executable, "-m", "clusterrun", "init", *options]
    process = subprocess.Popen(
        words,
        env=desk.environment,
        cwd=desk.folder,
        stdin=other,
        stderr=other,
        stdout=subprocess.PIPE,
    )
    os.close(other)
    os.write(main, "".join(f"{answer}\n" for answer in answers if answer != "unasked").encode())
    shown = b""
    while select.select([main], [], [], 20)[0]:
        try:
            shown += os.read(main, 4096)
        except OSError:  # the other side is closed
            break
    assert process.wait(20) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b"job.yaml\n"
    process.stdout.close()
    os.close(main)
    text = shown.decode()
    assert [
        question in text
        for question in (
            "training script [train.py]",
            "strategy: ddp, ",
            "nodes [1]",
            "partition (",
        )
    ] == [True] * 4
    assert "GPUs of each node" not in text
    spec = load_spec(desk.folder / "job.yaml").spec
    assert (spec.script, spec.slurm.nodes, spec.slurm.account) == ("train.py", "2", "mine")
    assert (spec.accelerate.deepspeed_config or {})["zero_stage"] == 2


def test_the_end_of_the_input_ends_it(desk):
    """Ctrl-D at a question writes nothing."""
    main, other = pty.openpty()
    words = [sys.executable, "-m", "clusterrun", "init"]
    os.write(main, b"\x04")
    done = subprocess.run(
        words,
        env=desk.environment,
        cwd=desk.folder,
        stdin=other,
        stderr=other,
        stdout=subprocess.PIPE,
        check=False,
    )
    os.close(other), os.close(main)
    assert (done.returncode, done.stdout) == (2, b"")
    assert not list(desk.folder.glob("*.yaml"))
