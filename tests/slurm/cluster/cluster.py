"""A cluster as a Python object: machines, daemons, and commands run as its ordinary users."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tests.slurm.cluster import process, warm
from tests.slurm.cluster.process import UserProcess, wait_until

SCRIPTS = Path(__file__).parent
USERS = {"alice": 20001, "bob": 20002}
CONTROLLER_DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "slurmdbd", "munged", "mariadbd", "nsenter", "ip")
PACKAGES = "slurmctld slurmd slurm-client slurmdbd munge mariadb-server util-linux iproute2"

CLEAR = """
squeue -ho %i | xargs -r scancel
sinfo -hNt drain,down -o %N | sort -u | while read -r node; do
  scontrol update nodename="$node" state=resume
done
exit 0
"""


def missing() -> str | None:
    """Return in one sentence why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "the Slurm tests need root, for namespaces and for jobs of several users."
    absent = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")]
    if absent:
        return f"no {', '.join(absent)} here: `apt-get install {PACKAGES}` brings what is missing."
    return None


def python_paths() -> list[Path]:
    """List the folders that this Python and its tests are read from."""
    return [Path(sys.base_prefix), Path(sys.prefix), SCRIPTS.parents[2]]


@final
@dataclass(frozen=True)
class Cluster:
    """A running cluster: nodes n1, n2, ..., a controller and a login machine.

    Files have the same paths here and on its machines, except under /tmp, /dev/shm and folders
    closed to ordinary users, where a machine sees only `folder` and the bound paths.
    """

    folder: Path
    nodes: tuple[str, ...]
    accounting: bool

    @classmethod
    def start(
        cls,
        folder: Path | None = None,
        *,
        nodes: int = 4,
        gpus: int = 8,
        gpu_type: str = "fake",
        accounting: bool = True,
        cgroup: bool = False,
        suite: Path | None = None,
        layers: Mapping[str, Path] | None = None,
        config_extra: Iterable[str] = (),
        bind: Iterable[Path] = (),
    ) -> Cluster:
        """Start a cluster in `folder` (empty or new); it ends with this process at the latest.

        `config_extra` are lines for slurm.conf; each replaces the line of its key. `bind` are
        further paths that must be readable on every machine, in addition to this Python and this
        checkout. `suite` is the folder of a Debian suite (`suites.py`), whose Slurm runs instead of
        this machine's. `layers` are folders of unpacked packages by node: their usr and etc cover
        the node's.
        """
        folder = (folder or Path(tempfile.mkdtemp(prefix="slurm-"))).resolve()
        options = [
            "-n",
            str(nodes),
            "-g",
            str(gpus),
            "-t",
            gpu_type,
            "-a",
            "dbd" if accounting else "none",
        ]
        options += ["-w", str(os.getpid()), *(["-c"] if cgroup else [])]
        options += ["-s", str(suite)] if suite else []
        options += [w for node, one in (layers or {}).items() for w in ("-l", f"{node}={one}")]
        options += [word for path in (*python_paths(), *bind) for word in ("-b", str(path))]
        options += [word for line in config_extra for word in ("-x", line)]
        process.run([str(SCRIPTS / "up"), "-d", str(folder), *options], timeout=120)
        return cls(folder, tuple(f"n{i + 1}" for i in range(nodes)), accounting)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, keep_folder: bool = False) -> None:
        """End every process of the cluster, and remove its folder unless `keep_folder`."""
        self._script("down", *(["-k"] if keep_folder else []))

    @property
    def scratch(self) -> Path:
        """Return the shared folder that every user can write to."""
        return self.folder / "scratch"

    def home(self, user: str) -> Path:
        """Return the home folder of `user`, the same on every machine."""
        return self.folder / "home" / user

    def run_as(
        self,
        user: str,
        argv: Sequence[str | Path],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60,
        input: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` as `user` on the login machine, in `cwd` (the home folder), `timeout` seconds.

        Its environment is that of a login, and `env`. Raises `CommandFailed` (if `check`) and
        `CommandTimedOut`, after terminating the command.
        """
        return process.run(
            self._login(user, argv, cwd, env), timeout=timeout, check=check, stdin=input
        )

    def run_warm(
        self,
        user: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python script as `run_as` does, as a fork of a Python that has clusterrun imported."""
        home = self.home(user)
        words = [str(word) for word in argv]
        more = {"cwd": home, "env": env or {}, "timeout": timeout, "check": check}
        return warm.run_warm(self._login(user, [], home, {}), home / ".warm", words, **more)

    def popen_as(
        self,
        user: str,
        argv: Sequence[str | Path],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> UserProcess:
        """Start `argv` like `run_as`; use it as a context manager, or wait for it."""
        started = process.start(self._login(user, argv, cwd, env))
        wait_until(lambda: started.entered(USERS[user]), 10, f"a process of {user}")
        return started

    def run_on(
        self, machine: str, argv: Sequence[str], check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` as root on `machine`: a node, `login`, or `ctl`, the controller."""
        return self._script("node", "exec", machine, *argv, check=check, timeout=timeout)

    def crash(self, node: str) -> None:
        """Cut the power of `node`: all its processes end at once."""
        self._script("node", "crash", node)

    def boot(self, node: str) -> None:
        """Boot a crashed node; it accepts jobs again once `wait_idle` returns."""
        self._script("node", "start", node)

    def cut(self, node: str) -> None:
        """Pull the network cable of `node`."""
        self._script("node", "cut", node)

    def heal(self, node: str) -> None:
        """Plug the network cable of `node` in again."""
        self._script("node", "heal", node)

    def stop_slurmd(self, node: str) -> None:
        """Kill slurmd on `node`; its steps keep running."""
        self._script("node", "stop-slurmd", node)

    def start_slurmd(self, node: str) -> None:
        """Start slurmd on `node` again."""
        self._script("node", "start-slurmd", node)

    def stop_daemon(self, name: str) -> None:
        """End slurmctld, slurmdbd, mariadbd or munged with SIGTERM and wait for it."""
        self._script("daemon", "stop", name)

    def kill_daemon(self, name: str) -> None:
        """End a daemon of the controller with SIGKILL."""
        self._script("daemon", "kill", name)

    def start_daemon(self, name: str) -> None:
        """Start a daemon of the controller again."""
        self._script("daemon", "start", name)

    def processes(self, node: str) -> list[str]:
        """List the command lines of all processes on `node` except its init and slurmd."""
        init = self._init(node)
        found = process.processes_in_namespace(init) if init else []
        return [p.command for p in found if p.pid != init and p.name not in ("slurmd", "munged")]

    def state(self, job: str | int) -> str:
        """Return Slurm's state of a job, such as RUNNING; also for some minutes after its end."""
        shown = self.run_as("alice", ["scontrol", "show", "job", str(job)]).stdout
        match = re.search(r"JobState=(\w+)", shown)
        return match[1] if match else ""

    def wait_state(self, job: str | int, *states: str, timeout: float = 60) -> str:
        """Wait until a job is in one of `states` and return it. Raises TimeoutError after `timeout`
        s.
        """
        seen = [""]

        def arrived() -> bool:
            seen.append(self.state(job))
            return seen[-1] in states

        wait_until(arrived, timeout, f"job {job} {' or '.join(states)}")
        return seen[-1]

    def idle(self) -> bool:
        """Return whether no job is queued and every node is idle."""
        shown = "squeue -ho %i | sed 's/^/job /'; sinfo -hNo '%N %t' | sort -u"
        found = self.run_on("ctl", ["sh", "-c", shown], check=False).stdout.splitlines()
        return sorted(found) == sorted(f"{node} idle" for node in self.nodes)

    def wait_idle(self, timeout: float = 60) -> None:
        """Wait until no job remains and all nodes are idle. Raises TimeoutError after `timeout` s."""
        wait_until(self.idle, timeout, "an idle cluster")

    def restore(self) -> None:
        """Undo what a test did: start what is down, cancel all jobs, wait until all is idle."""
        self._restore_controller()
        for node in self.nodes:
            self._restore_node(node)
        if not self.idle():
            self._script("node", "exec", "ctl", "sh", "-c", CLEAR)
            self.wait_idle()

    def _restore_controller(self) -> None:
        names = self._daemons("ctl")
        for daemon in CONTROLLER_DAEMONS if self.accounting else ("munged", "slurmctld"):
            if daemon not in names:
                self.start_daemon(daemon)

    def _restore_node(self, node: str) -> None:
        if self._init(node) is None:
            self.boot(node)
            return
        if "slurmd" not in self._daemons(node):
            self.start_slurmd(node)
        self.heal(node)

    def _daemons(self, machine: str) -> set[str]:
        init = self._init(machine)
        return {p.name for p in process.processes_in_namespace(init)} if init else set()

    def _init(self, machine: str) -> int | None:
        path = self.folder / "run" / f"{machine}.init"
        return int(path.read_text()) if path.exists() else None

    def _login(
        self,
        user: str,
        argv: Sequence[str | Path],
        cwd: Path | None,
        env: Mapping[str, str] | None,
    ) -> list[str]:
        words = [str(SCRIPTS / "login"), "-d", str(self.folder)]
        words += ["-C", str(cwd or self.home(user)), user]
        return words + [f"{k}={v}" for k, v in (env or {}).items()] + [str(a) for a in argv]

    def _script(
        self, name: str, *words: str, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        argv = [str(SCRIPTS / name), "-d", str(self.folder), *words]
        return process.run(argv, timeout=timeout, check=check)
