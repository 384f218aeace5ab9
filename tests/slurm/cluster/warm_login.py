"""A Python that has clusterrun imported, and forks itself for each command: `warm_login.py SOCKET`.

Starting Python and importing clusterrun takes two thirds of the CPU time of a command. A request is
the command's words, variables and folder as JSON, with its three streams. It's answered with the
exit code. Ends when its stdin does.
"""

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from pathlib import Path

import clusterrun

LOGIN = dict(os.environ)
sys.path.append(str(Path(__file__).resolve().parents[2] / "training_scripts"))
from leaving import leave, run_script

MESSAGE = 1 << 20  # bytes of a request at most
HEAVY = ("clusterrun.training.", "clusterrun.slurm.submitit_seam")  # import torch, submitit
OPEN_FILES = 4096  # more open files than a server has


def become(request, streams):
    """Run a Python script as a session of its own, as a login would."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, OPEN_FILES)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(LOGIN | request["env"])
    leave(run_script(request["argv"]))


def serve(connection):
    """Run one command, and send its exit code; end it if the client hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, streams, _, _ = socket.recv_fds(connection, MESSAGE, 3)
    child = os.fork()
    if child == 0:
        try:
            become(json.loads(text), streams)
        finally:
            os._exit(1)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(f"{code}\n".encode())


def import_all():
    """Import what a command might import."""
    for module in pkgutil.walk_packages(clusterrun.__path__, "clusterrun."):
        if not module.name.endswith("__main__") and not module.name.startswith(HEAVY):
            importlib.import_module(module.name)
    gc.freeze()


def main():
    place = sys.argv[1]
    import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{place}.new")
        listener.listen(16)
        Path(f"{place}.new").rename(place)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                os._exit(0)
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                try:
                    serve(connection)
                finally:
                    os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
