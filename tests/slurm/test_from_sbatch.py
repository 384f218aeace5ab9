"""An old sbatch script and the spec made from it request the same from a real Slurm, and start the
same.

A program that records its words, its environment and its job replaces accelerate, torchrun and
python. All jobs, old and new, are in the queue at once. This file may take 45 seconds.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.slurm.desk import CHECKOUT, CLUSTERRUN, SCRIPTS, Desk, Submitted, until

OLD = CHECKOUT / "tests" / "sbatch_scripts"
# Each script with the word after which its own arguments start.
NAMES = {
    "accelerate_multinode": "train.py", "accelerate_escaped_rank": "train.py", "torchrun_c10d": "multinode_torchrun.py",
    "single_gpu": "train.py", "array_sweep": "train.py", "launcher_array": "train.py", "bash_c_exports": "train.py",
    "apptainer": "exec",
}  # fmt: skip

# What only the new run has, or has with another value, on purpose.
INTENDED = {
    # where the ranks meet: the job script passes it to the launcher itself
    "MASTER_ADDR", "MASTER_PORT", "NODE_RANK",
    # used only to build the launcher's command line
    "GPUS_PER_NODE", "LAUNCHER", "SCRIPT", "SCRIPT_ARGS", "CMD",
    # the submitting shell's own, which does not reach the new job, and what a login on the node sets
    "OLDPWD", "SHLVL", "PATH", "MAIL", "TERM", "SCRATCH", "HOSTNAME",
    # which of a node's GPUs Slurm chose
    "CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK",
    # what the job script sets: for accelerate and torch, for trackers, for itself
    "ACCELERATE_USE_CPU", "PET_SIGNALS_TO_HANDLE", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "GLOO_SOCKET_IFNAME",
    "WANDB_RUN_ID", "WANDB_RESUME", "TENSORBOARD_LOGGING_DIR",
    "run_dir", "run_id", "attempt", "job_end_time", "signal_lead", "stop_signal", "reads_stop_file", "checkpoint", "skip_node_check", "ignore_term",
    "head_clock", "node_dir", "one_rank_per_gpu", "num_processes", "num_machines", "main_process_ip", "main_process_port",
    "launch_kind", "gpus_without_gres", "NNODES", "NPROC_PER_NODE",
}  # fmt: skip
# Slurm's own variables describe the step, which is the job script's; clusterrun's are for its library.
_OTHERS = re.compile(r"(SLURM|SRUN|SBATCH|CLUSTERRUN|PMI|PMIX|ROCR|GPU_DEVICE|BASH_FUNC)_?.*")


@dataclass(frozen=True)
class Record:
    """One process that was started, as it recorded itself."""

    node: int
    argv: list[str]
    environment: dict[str, str]
    folder: str
    job: dict[str, str]
    config: dict[str, object]

    def own_words(self, first: str) -> list[str]:
        return self.argv[self.argv.index(first) :]

    def flag(self, *names: str) -> str | None:
        words = dict(zip(self.argv, [*self.argv[1:], ""], strict=True))
        joined = {
            word.split("=")[0]: word.partition("=")[2]
            for word in self.argv
            if word.startswith("--") and "=" in word
        }
        return next(
            (found[name] for name in names for found in (joined, words) if name in found), None
        )


@dataclass(frozen=True)
class Pair:
    """What the old script started, and what the run of its spec started: a list for each task of
    the array.
    """

    old: list[Record]
    new: list[Record]
    report: str


def records_of(folder: Path, wanted: str) -> list[Record]:
    """Return the records of the processes of a job, or of all tasks of an array."""
    found = []
    for path in sorted(folder.glob("[0-9]*")):
        job, node, _ = path.name.split(".")
        text = (path / "environment").read_text().split("\0")
        pairs = dict(line.split("=", 1) for line in text if "=" in line)
        if wanted in (job, pairs.get("SLURM_ARRAY_JOB_ID")):
            fields = dict(re.findall(r"(\S+?)=(\S*)", (path / "job").read_text()))
            config = path / "config"
            values = yaml.safe_load(config.read_text()) if config.exists() else {}
            argv = (path / "argv").read_text().split("\0")[:-1]
            found.append(
                Record(
                    int(node), argv, pairs, (path / "folder").read_text().strip(), fields, values
                )
            )
    return found


@pytest.fixture(scope="module")
def project(desk: Desk) -> Path:
    """A user's folder with the old scripts, a training script for accelerate, and an environment of
    stand-ins.
    """
    home = desk.cluster.home("alice")
    project, records = home / "project", desk.cluster.scratch / "records"
    for folder in (project / "configs", records):
        folder.mkdir(parents=True)
    for name in (*NAMES, "accelerate_unescaped_rank"):
        shutil.copy(OLD / f"{name}.sh", project)
    for name in ("train.py", "multinode_torchrun.py"):
        (project / name).write_text("import accelerate\n")
    (project / "configs" / "zero2.yaml").write_text(
        "distributed_type: MULTI_GPU\nmixed_precision: bf16\nuse_cpu: false\n"
    )
    programs = home / "envs" / "train" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(
        f"export VIRTUAL_ENV={programs.parent} PATH={programs}:$PATH\n"
    )
    recorder = (SCRIPTS / "recorder.sh").read_text().replace("RECORDS", str(records))
    for name in ("accelerate", "torchrun", "python", "apptainer"):
        (programs / name).write_text(recorder)
        (programs / name).chmod(0o755)
    owner = home.stat()
    for path in (project, home / "envs", records, *project.rglob("*"), *(home / "envs").rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    return project


@pytest.fixture(scope="module")
def shell(desk: Desk) -> dict[str, str]:
    """The shell that submits the old scripts, with an environment of stand-ins active."""
    venv = desk.cluster.home("alice") / "envs" / "train"
    desk.write_site()
    return {"TERM": "xterm", "VIRTUAL_ENV": str(venv), "PATH": f"{venv}/bin:/usr/bin:/bin",
            "SCRATCH": str(desk.cluster.scratch),
            "CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}  # fmt: skip


@pytest.fixture(scope="module")
def faulty(
    desk: Desk, project: Path, shell: dict[str, str], pairs: dict[str, Pair]
) -> list[Record]:
    """What the script with the most mistakes started."""
    submit = ["sbatch", "--wait", "--parsable", "accelerate_unescaped_rank.sh"]
    job = desk.cluster.run_as("alice", submit, cwd=project, env=shell, check=False).stdout.strip()
    return records_of(desk.cluster.scratch / "records", job)


@pytest.fixture(scope="module")
def pairs(desk: Desk, project: Path, shell: dict[str, str]) -> dict[str, Pair]:
    """All old scripts and all of their specs, run at once."""
    with ThreadPoolExecutor(4) as pool:
        started = dict(
            zip(NAMES, pool.map(lambda name: both(desk, project, name, shell), NAMES), strict=True)
        )
    until(lambda: not desk.jobs(), 90, "all jobs have ended")
    records = desk.cluster.scratch / "records"
    return {name: Pair(records_of(records, old), records_of(records, run.job_id), report)
           for name, (old, run, report) in started.items()}  # fmt: skip


def both(desk: Desk, project: Path, name: str, shell: dict[str, str]) -> tuple[str, Submitted, str]:
    """Queue an old script as its user would, and the run of its spec."""
    submit = ["sbatch", "--parsable", f"{name}.sh"]
    old = desk.cluster.run_as("alice", submit, cwd=project, env=shell).stdout.strip()
    init = [CLUSTERRUN, "init", "--from-sbatch", f"{name}.sh", "-o", f"{name}.yaml"]
    report = desk.cluster.run_as("alice", init, cwd=project, env=shell).stderr
    submit = [CLUSTERRUN, "submit", "--json", f"{name}.yaml"]
    spec = (project / f"{name}.yaml").read_text()
    if "gpu" not in spec and "\ncommand:" not in spec:  # all nodes have some
        submit += ["--set", "accelerate.use_cpu=true"]
    answer = desk.cluster.run_as("alice", submit, cwd=project, env=shell)
    return old, Desk.submitted(answer), report


@pytest.mark.parametrize("name", NAMES)
def test_script_and_spec_start_the_same(pairs: dict[str, Pair], name: str) -> None:
    """Each node runs the same program with the same words, in the same folder."""
    pair = pairs[name]
    assert pair.old, "the old script started nothing"
    first = NAMES[name]

    def what(records: list[Record]) -> list[tuple[object, ...]]:
        return sorted((one.node, one.own_words(first), one.folder) for one in records)

    assert what(pair.new) == what(pair.old)


@pytest.mark.parametrize("name", NAMES)
def test_script_and_spec_request_the_same_of_slurm(pairs: dict[str, Pair], name: str) -> None:
    """The job has the same nodes, CPUs, memory, GPUs, time, partition and array in scontrol."""
    keys = ("TRES", "NumNodes", "NumCPUs", "TimeLimit", "Partition", "Account", "MinMemoryNode", "ArrayTaskThrottle",
            "OverSubscribe", "Features")  # fmt: skip
    requests = [
        {tuple((key, one.job.get(key)) for key in keys) for one in side}
        for side in (pairs[name].old, pairs[name].new)
    ]
    assert requests[1] == requests[0]


@pytest.mark.parametrize("name", NAMES)
def test_script_and_spec_have_the_same_environment(pairs: dict[str, Pair], name: str) -> None:
    """Every variable is the same, except those that must differ."""
    old, new = (
        min(side, key=lambda one: (one.node, one.argv)).environment
        for side in (pairs[name].old, pairs[name].new)
    )
    differ = {
        key for key in {*old, *new} if old.get(key) != new.get(key) and not _OTHERS.fullmatch(key)
    }
    assert {key: (old.get(key), new.get(key)) for key in differ - INTENDED} == {}


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "accelerate" in name or name == "launcher_array"]
)
def test_script_and_spec_configure_accelerate_alike(pairs: dict[str, Pair], name: str) -> None:
    """As many machines and processes, in the same precision; and each machine has a distinct rank."""
    pair = pairs[name]
    for flag in ("--num_machines", "--num_processes"):
        assert {one.flag(flag) for one in pair.new} == {one.flag(flag) for one in pair.old}
    precision = [{one.flag("--mixed_precision") or one.config.get("mixed_precision", "no") for one in side}
                 for side in (pair.old, pair.new)]  # fmt: skip
    if name == "accelerate_escaped_rank":
        assert precision[1] == precision[0] == {"bf16"}
    assert sorted(str(one.flag("--machine_rank")) for one in pair.new) == [
        str(one.node) for one in pair.new
    ]


def test_reported_mistakes_happen(desk: Desk, project: Path, faulty: list[Record]) -> None:
    """The reported mistakes of an old script happen: two launchers per node, each of them machine
    0, without its modules.
    """
    shell = {"PATH": f"{Path(CLUSTERRUN).parent}:/usr/bin:/bin"}
    init = [CLUSTERRUN, "init", "--from-sbatch", "accelerate_unescaped_rank.sh", "-o", "-"]
    report = desk.cluster.run_as("alice", init, cwd=project, env=shell).stderr
    assert [
        name in report
        for name in (":6: launchers: ", ":24: node-rank: ", ":16: set-e: ", ":14: port: ")
    ] == [True] * 4
    assert sorted(one.node for one in faulty) == [0, 0, 1, 1]
    assert {one.flag("--machine_rank") for one in faulty} == {"0"}
    assert {one.flag("--main_process_port") for one in faulty} == {"29500"}
    assert "module: command not found" in (project / "train.log").read_text()
