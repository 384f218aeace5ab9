"""`clusterrun submit`, killed with SIGKILL before its N-th operation on files or processes.

Audit events (https://docs.python.org/3/library/audit_events.html) are raised before the operation;
those that read the installation do not count. Prints nothing; exits with 0 if there were fewer than
N.
"""

import os
import signal
import sys

at, watched = int(sys.argv[1]), sys.argv[2].split(":")
EVENTS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.replace",
    "subprocess.Popen",
    "os.listdir",
    "os.scandir",
    "fcntl.flock",
}
count = 0


def hook(event: str, arguments: tuple[object, ...]) -> None:
    global count
    if event not in EVENTS:
        return
    text = " ".join(str(argument) for argument in arguments[:2])
    if event not in ("subprocess.Popen", "fcntl.flock") and not any(
        folder in text for folder in watched
    ):
        return
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)


from clusterrun.cli import main

sys.addaudithook(hook)
raise SystemExit(main(sys.argv[3:]))
