"""A Python that has imported torch, and forks itself for each training that a test launches:
`warm_python.py SOCKET MODULE...`.

Importing torch, accelerate and transformers takes most of the CPU time of a test's training, three
times if `accelerate launch` starts two ranks. A fork of this process runs a script like `python
SCRIPT`, or like `accelerate launch SCRIPT`: accelerate's own code makes the environment, and
test_warm_python.py compares the ranks' with that of a real launch. Ends when its stdin does.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from leaving import leave, run_script

PATIENCE = 30.0  # seconds until a terminated rank is killed, as in torchrun


def rank_environment(args, local_rank):
    """Return torchrun's variables of a rank. The store is rank 0's own, because there is no agent
    that could have one.
    """
    nodes, here = int(args.nnodes.partition(":")[0]), int(args.nproc_per_node)
    rank, size = str(int(args.node_rank) * here + local_rank), str(nodes * here)
    address, _, port = args.rdzv_endpoint.rpartition(":")  # of several nodes
    return {
        "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT,SIGHUP,SIGQUIT", "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_USE_AGENT_STORE": "False",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1", "ROLE_NAME": "default",
        "GROUP_RANK": str(args.node_rank), "GROUP_WORLD_SIZE": str(nodes),
        "RANK": rank, "ROLE_RANK": rank, "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": size, "ROLE_WORLD_SIZE": size, "LOCAL_WORLD_SIZE": str(here),
        "MASTER_ADDR": address or args.master_addr, "MASTER_PORT": port or str(args.master_port),
    }  # fmt: skip


def train(argv, environment):
    """Run a script in this process, which was forked for it."""
    environment = dict(environment)
    os.environ.clear()
    os.environ.update(environment)
    for path in environment.get("PYTHONPATH", "").split(os.pathsep):
        if path and path not in sys.path:
            sys.path.append(path)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # a fork starts with the state of its parent
    leave(run_script(argv))


def fork(work, *words):
    """Do some work in a child process and return its id."""
    child = os.fork()
    if child == 0:
        try:
            work(*words)
        except BaseException:  # noqa: BLE001 - the child must not continue as the parent
            traceback.print_exc()
        os._exit(1)
    return child


def launch(words, environment):
    """Do what `accelerate launch WORD...` does, with forks in place of torchrun's processes."""
    import torch.distributed.run
    from accelerate.commands.launch import launch_command, launch_command_parser

    os.environ.clear()
    os.environ.update(environment)
    torch.distributed.run.run = fork_ranks
    launch_command(launch_command_parser().parse_args(words))


def fork_ranks(args):
    """Start a node's ranks and watch them like torchrun: one that fails ends all."""
    argv = [args.training_script, *args.training_script_args]
    alive = {fork(train, argv, os.environ | rank_environment(args, rank)): rank
             for rank in range(int(args.nproc_per_node))}  # fmt: skip
    code, deadline, terminate_at = 0, None, None
    seconds_for_others = float(os.environ.get("SECONDS_FOR_OTHER_RANKS", "0"))

    def terminate(*_):
        nonlocal code, deadline
        code, deadline = 1, deadline or time.monotonic() + PATIENCE
        signal_all(alive, signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    while alive:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if not ended:
            if deadline and time.monotonic() > deadline:
                signal_all(alive, signal.SIGKILL)
            elif terminate_at and not deadline and time.monotonic() > terminate_at:
                terminate()
            time.sleep(0.02)
            continue
        rank, failed = alive.pop(ended), os.waitstatus_to_exitcode(status)
        if failed:
            print(f"rank {rank} ended with exit code {failed}", file=sys.stderr)
        if failed:
            code, terminate_at = 1, terminate_at or time.monotonic() + seconds_for_others
    os._exit(code)


def signal_all(processes, number):
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def serve(connection):
    """Serve one test's request; send the process's id at once, and its exit code at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile("rw") as file:
        request = json.loads(file.readline())
        os.chdir(request["cwd"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        kept = os.dup(2)
        for number in (1, 2):
            os.dup2(log, number)
        child = fork(
            launch if request["launch"] else train, request["argv"], request["environment"]
        )
        os.dup2(kept, 2)
        file.write(f"{child}\n")
        file.flush()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file.write(f"{code}\n")
        file.flush()
    os._exit(0)


def main():
    place, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}.new")
        listener.listen(16)
        Path(f"{place}.new").rename(place)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                os._exit(0)
            connection, _ = listener.accept()
            fork(serve, connection)
            connection.close()


if __name__ == "__main__":
    main()
