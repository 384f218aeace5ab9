"""A `subprocess.Popen` that forks instead of starting this Python with a script: imports are
already done.
"""

import ctypes
import gc
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))
from leaving import leave, run_script

PR_SET_NAME = 15  # prctl(2)
OPEN_FILES = 4096  # more than a launcher has open


class Fork(subprocess.Popen):
    """Starts `python [-u] SCRIPT WORD...` as a fork, and anything else like Popen."""

    def _execute_child(self, *given):
        words = inspect.signature(super()._execute_child).bind(*given).arguments
        argv = [word for word in words["args"] if word != "-u"]
        if argv[0] != sys.executable or not argv[1].endswith(".py"):
            return super()._execute_child(*given)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                become(argv[1:], words)
            finally:
                os._exit(1)
        self._child_created = True
        return None


def become(argv, words):
    """Do in a fork what exec does to a process, as far as a training or a job script can see; run
    the script.
    """
    if words["start_new_session"]:
        os.setsid()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) and number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for mine, file in ((1, words["c2pwrite"]), (2, words["errwrite"])):
        if file != -1:
            os.dup2(file, mine)
    os.closerange(3, OPEN_FILES)
    sys.stdout.reconfigure(write_through="-u" in words["args"])
    take_environment(words["env"] or dict(os.environ))
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"python", 0, 0, 0)
    gc.freeze()
    leave(run_script(argv))


def take_environment(environment):
    """Set an environment, and show it in /proc/PID/environ, where job scripts look for training
    processes; new variables come first.

    The kernel shows the memory of the launcher's first environment. It is too small for all
    variables, so the rest is cut off.
    """
    before = dict(os.environ)
    os.environ.clear()  # from here on no pointer leads into that memory
    os.environ.update(environment)
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])
    ranked = sorted(environment, key=lambda name: (before.get(name) == environment[name], name))
    shown = b"".join(os.fsencode(f"{name}={environment[name]}") + b"\0" for name in ranked)
    ctypes.memmove(start, shown[: end - start - 1].ljust(end - start, b"\0"), end - start)
