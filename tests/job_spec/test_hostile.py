"""A value of a spec is refused, or arrives unchanged as one word, and has no other effect."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from clusterrun.planning.plan import LaunchPlan
from tests.support.hostile_cases import BASE, FIELDS, FOLDERS, Case, groups, nested
from tests.support.hostile_scripts import check_text, command_line
from tests.support.hostile_values import VALUES

# Functions override programs on PATH: these replace commands and record their arguments.
STAND_INS = r"""
srun() { while [[ ${1:-} == --* ]]; do shift; done; export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0; exec "$@"; }
scontrol() { :; }
squeue() { :; }
module() { printf '%s\0' "$@" >> "$RECORD/module"; }
accelerate() {
  printf '%s\0' "$@" > "$RECORD/argv"
  env -0 > "$RECORD/env"
  pwd > "$RECORD/pwd"
  case $3 in */clusterrun.*/accelerate.yaml) cp "$3" "$RECORD/config" ;; esac
}
"""


def folder_of(case: Case, plan: LaunchPlan) -> Path | None:
    """Make the folders that the spec names; None if the file system cannot have such a name."""
    work = Path(str(plan.chdir))
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / plan.run_root).mkdir(parents=True, exist_ok=True)
        if plan.spec.environment.venv is not None:
            binaries = work / plan.spec.environment.venv / "bin"
            binaries.mkdir(parents=True, exist_ok=True)
            (binaries / "activate").write_text(
                'printf \'%s\\0\' "${BASH_SOURCE[0]}" > "$RECORD/venv"\n'
            )
    except OSError:
        return None
    return work


def start(case: Case, script: str) -> subprocess.Popen[bytes]:
    """Run the script in bash, with stand-ins for Slurm's commands, modules and accelerate."""
    (case.folder / "stand-ins.bash").write_text(STAND_INS)
    (case.folder / "job.sbatch").write_text(script)
    for name in ("record", "tmp", "home/miniforge3/etc/profile.d"):
        (case.folder / name).mkdir(parents=True, exist_ok=True)
    conda = case.folder / "home/miniforge3/etc/profile.d/conda.sh"
    conda.write_text('conda() { printf \'%s\\0\' "$@" > "$RECORD/conda"; }\n')
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(case.folder / "home"), "BASH_ENV": str(case.folder / "stand-ins.bash"),
        "RECORD": str(case.folder / "record"), "TMPDIR": str(case.folder / "tmp"), "SLURM_JOB_ID": "77",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n1", "SLURM_SUBMIT_DIR": str(case.folder),
    }  # fmt: skip
    with (case.folder / "slurm.out").open("wb") as log:
        return subprocess.Popen(["bash", case.folder / "job.sbatch"], env=environment, cwd=case.folder, stdout=log,
                                stderr=log, stdin=subprocess.DEVNULL)  # fmt: skip


def recorded(case: Case, name: str) -> list[str]:
    return (case.folder / "record" / name).read_bytes().decode().split("\0")[:-1]


def check_run(case: Case, plan: LaunchPlan, work: Path) -> None:
    """Check the launch command, its config, the environment, modules, venv, conda and the folders."""
    tree = nested({**BASE, **case.fields}, case.value)
    argv = recorded(case, "argv")
    assert argv[:2] == ["launch", "--config_file"]
    assert argv[3:9] == ["--num_machines", "1", "--num_processes", "1", "--machine_rank", "0"]
    assert (argv[9], argv[11]) == ("--main_process_ip", "--main_process_port")
    assert argv[13:] == command_line(tree)
    environment = tree.get("environment", {})
    variables = dict(pair.split("=", 1) for pair in recorded(case, "env"))
    assert environment.get("variables", {}).items() <= variables.items()
    assert (case.folder / "record" / "pwd").read_text() == f"{work.resolve()}\n"
    if "modules" in environment:
        assert recorded(case, "module") == ["load", *environment["modules"]]
    if "venv" in environment:
        assert recorded(case, "venv") == [f"{environment['venv']}/bin/activate"]
    if "conda" in environment:
        assert recorded(case, "conda") == ["activate", environment["conda"]]
    accelerate = tree.get("accelerate", {})
    if "config_file" in accelerate:
        assert argv[2] == accelerate["config_file"]
    else:
        config = yaml.safe_load((case.folder / "record" / "config").read_text())
        assert (
            accelerate.get("deepspeed_config", {}).items()
            <= config.get("deepspeed_config", {}).items()
        )
        assert config.get("main_training_function") == accelerate.get("main_training_function")
    assert (work / plan.run_root / f"{plan.name}-77" / "events" / "attempt-0001.end").is_file()


@dataclass
class RunningScript:
    """A script that bash is running, and what it must leave behind."""

    case: Case
    plan: LaunchPlan
    work: Path
    before: set[Path]
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, case: Case) -> RunningScript:
        """Check the script's text and start it, without the fields whose folders cannot exist."""
        plan = case.plan()
        script, work = check_text(case, plan), folder_of(case, plan)
        if work is None:
            return cls.start(
                case.with_fields(
                    {path: item for path, item in case.fields.items() if path not in FOLDERS}
                )
            )
        return cls(case, plan, work, files_in(case.folder), start(case, script))

    def check(self) -> None:
        """Wait for its end; everything has arrived, and only the run and the stand-ins made files."""
        code, folder = self.process.wait(), self.case.folder
        logs = [folder / "slurm.out", *folder.rglob("attempt-*.log")]
        assert code == 0, [path.read_text(errors="replace") for path in logs]
        check_run(self.case, self.plan, self.work)
        ours = [
            folder / name
            for name in ("record", "home", "stand-ins.bash", "job.sbatch", "slurm.out")
        ]
        ours.append(self.work / self.plan.run_root / f"{self.plan.name}-77")
        strays = {
            path for path in files_in(folder) - self.before if not {path, *path.parents} & set(ours)
        }
        assert strays == set()
        assert not [path for path in files_in(folder) if path.name == "canary"]


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_refused_or_arrives_unchanged(tmp_path, monkeypatch, name):
    """Every field refuses a value with SpecError, or passes it on as one word without side effects."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tried = []
    for what_runs, fields in FIELDS.items():
        for number, case in enumerate(groups(Case(tmp_path, fields, VALUES[name], what_runs))):
            folder = tmp_path / f"{what_runs}-{number}"
            (folder / "work").mkdir(parents=True)
            tried.append(RunningScript.start(Case(folder, case.fields, case.value, what_runs)))
    for one in tried:
        one.check()
