"""Every public and private part of submitit that we use: a failure names what changed.

The users are clusterrun/slurm/submitit_seam.py (executor, job and watcher over sacct) and
clusterrun/local.py.
"""

from __future__ import annotations

import ast
import inspect
import os
import stat
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from submitit.core.core import Executor, InfoWatcher, Job
from submitit.local.local import LocalExecutor, LocalJob
from submitit.slurm.slurm import SlurmExecutor, SlurmInfoWatcher, SlurmJob

import clusterrun
from clusterrun.errors import ClusterError
from clusterrun.slurm import commands
from clusterrun.slurm.submitit_seam import (
    Accounting,
    RunJob,
    ScriptExecutor,
    accounted_states,
)

SEAM = Path(clusterrun.__file__).parent / "slurm" / "submitit_seam.py"

# What we call, override or set, with its parameters.
CALLABLES: list[tuple[Any, str, list[str]]] = [
    (SlurmInfoWatcher, "__init__", ["self", "delay_s"]),
    (SlurmInfoWatcher, "_make_command", ["self"]),
    (SlurmInfoWatcher, "read_info", ["self", "string"]),
    (SlurmInfoWatcher, "update", ["self"]),
    (SlurmInfoWatcher, "clear", ["self"]),
    (SlurmInfoWatcher, "get_info", ["self", "job_id", "mode"]),
    (SlurmJob, "__init__", ["self", "folder", "job_id", "tasks"]),
    (SlurmJob, "get_info", ["self", "mode"]),
    (
        SlurmExecutor,
        "__init__",
        ["self", "folder", "max_num_timeout", "max_pickle_size_gb", "python"],
    ),
    (SlurmExecutor, "_submit_command", ["self", "command"]),
    (SlurmExecutor, "_make_submission_command", ["self", "submission_file_path"]),
    (SlurmExecutor, "_get_job_id_from_submission_command", ["string"]),
    (
        LocalExecutor,
        "__init__",
        ["self", "folder", "max_num_timeout", "max_pickle_size_gb", "python"],
    ),
    (LocalExecutor, "update_parameters", ["self", "kwargs"]),
    (LocalExecutor, "submit", ["self", "fn", "args", "kwargs"]),
    (LocalJob, "wait", ["self"]),
]
# Attributes that we read or set.
ATTRIBUTES = {
    "_num_calls": InfoWatcher(),
    "_info_dict": InfoWatcher(),
    "job_class": SlurmExecutor,
    "watcher": SlurmJob,
}


def changed(what: str, user: str = "clusterrun/slurm/submitit_seam.py") -> str:
    return f"submitit {version('submitit')} has changed {what}: look at {user}"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), CALLABLES, ids=lambda item: getattr(item, "__name__", None)
)
def test_the_functions_of_submitit_have_the_expected_parameters(owner, name, parameters):
    """Every method of submitit that we call or override has the expected parameters."""
    user = (
        "clusterrun/local.py"
        if owner in (LocalExecutor, LocalJob)
        else "clusterrun/slurm/submitit_seam.py"
    )
    assert hasattr(owner, name), changed(f"{owner.__name__}.{name}, which is gone", user)
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found == parameters, changed(
        f"the parameters of {owner.__name__}.{name} to {found}", user
    )


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_attributes_that_we_set_exist(name):
    """Every attribute of submitit that we set is one that submitit reads."""
    assert hasattr(ATTRIBUTES[name], name), changed(f"{name}, which is gone")


def test_the_class_hierarchy_is_unchanged():
    """Our subclasses depend on this class hierarchy of submitit."""
    assert issubclass(SlurmInfoWatcher, InfoWatcher), changed("SlurmInfoWatcher's base")
    assert issubclass(SlurmJob, Job), changed("SlurmJob's base")
    assert issubclass(SlurmExecutor, Executor), changed("SlurmExecutor's base")


def test_no_other_private_part_is_used():
    """The tables above are complete: the seam uses no other private name of submitit."""
    tree = ast.parse(SEAM.read_text())
    private = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    }
    private |= {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_")
    }
    own = {"_environment", "_keep_open", "_sbatch_message"}
    assert private - own == {name for _, name, _ in CALLABLES[:12] if name.startswith("_")} | {
        "_num_calls",
        "_info_dict",
    }


# Recorded on Slurm 22.05.8: `sacct -o JobID,State,NodeList --parsable2 -j 11 -j 12 -j 13`.
RECORDED = b"""\
JobID|State|NodeList
11|COMPLETED|n1
11.batch|COMPLETED|n1
11.0|COMPLETED|n[1-2]
12|CANCELLED by 1000|n[1-4]
12.extern|COMPLETED|n[1-4]
13_2|NODE_FAIL|n3
13_[4-5]|PENDING|None assigned
"""


def test_the_output_of_sacct_is_read():
    """A job's state comes from its own line, not from those of its steps."""
    found = {job: info["State"] for job, info in SlurmInfoWatcher().read_info(RECORDED).items()}
    expected = {
        "11": "COMPLETED",
        "12": "CANCELLED by 1000",
        "13_2": "NODE_FAIL",
        "13_4": "PENDING",
        "13_5": "PENDING",
    }
    assert found == expected, changed("SlurmInfoWatcher.read_info's reading of sacct")
    assert SlurmInfoWatcher().read_info(b"JobID|State|NodeList\n") == {}, changed(
        "read_info for an unknown job"
    )
    assert SlurmInfoWatcher().read_info(b"") == {}, changed("read_info for no answer")


def test_sacct_is_called_once(tmp_path):
    """One call covers all registered jobs; with none registered there is no call."""
    watcher = SlurmInfoWatcher()
    assert watcher._make_command() is None, changed("SlurmInfoWatcher._make_command without jobs")
    for job in ("11", "12"):
        watcher.get_info(job, mode="cache")
    command = watcher._make_command()
    assert command[:4] == ["sacct", "-o", "JobID,State,NodeList", "--parsable2"], changed(
        "_make_command"
    )
    assert sorted(command[5::2]) == ["11", "12"], changed("_make_command's job ids")
    assert watcher.get_info("11", mode="cache") == {}, changed(
        "get_info's mode cache, which must not call sacct"
    )
    assert watcher._num_calls == 0, changed("get_info's mode cache, which must not call sacct")


@pytest.mark.parametrize(
    "answer", ["Submitted batch job 4711\n", b"Submitted batch job 4711 on cluster east\n"]
)
def test_the_output_of_sbatch_is_read(answer):
    """The job id is read from sbatch's own sentence."""
    found = SlurmExecutor._get_job_id_from_submission_command(answer)
    assert found == "4711", changed("_get_job_id_from_submission_command")


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Put stand-ins for Slurm's commands on PATH, each a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    put("srun", "exit 1")  # submitit's executor requires it
    return put


def test_a_script_is_submitted_unchanged(tmp_path, on_path):
    """sbatch is called once, with the script's path alone; submitit's own script is not written."""
    on_path("sbatch", f'echo "$@" >> {tmp_path}/argv; echo "Submitted batch job 4711"')
    executor = ScriptExecutor(tmp_path / "run", {"PATH": os.environ["PATH"]})
    job = executor.submit_script(tmp_path / "run" / "job.sbatch")
    assert (type(job), job.job_id) == (RunJob, "4711"), changed("SlurmExecutor._submit_command")
    assert (tmp_path / "argv").read_text() == f"{tmp_path}/run/job.sbatch\n", changed(
        "_make_submission_command"
    )
    assert not (tmp_path / "run").exists(), changed(
        "SlurmExecutor.__init__, which writes into the run folder now"
    )


def test_a_refusal_of_sbatch_is_quoted(tmp_path, on_path):
    """The message is sbatch's stderr without its prefixes."""
    on_path("sbatch", 'echo "sbatch: error: invalid partition specified: x" >&2; exit 1')
    with pytest.raises(ClusterError) as raised:
        ScriptExecutor(tmp_path / "run", dict(os.environ)).submit_script(tmp_path / "job.sbatch")
    assert str(raised.value) == "sbatch: invalid partition specified: x"


def test_states_of_many_jobs_take_one_call(tmp_path, on_path):
    """Accounting is queried once for all jobs, and unknown jobs are left out."""
    (tmp_path / "recorded").write_bytes(RECORDED)
    on_path("sacct", f"echo called >> {tmp_path}/calls; cat {tmp_path}/recorded")
    states = accounted_states(["11", "12", "99"], tmp_path)
    assert states == {"11": "COMPLETED", "12": "CANCELLED by 1000"}, changed(
        "InfoWatcher.get_info or clear"
    )
    assert (tmp_path / "calls").read_text() == "called\n", changed(
        "InfoWatcher.update_if_long_enough"
    )
    (tmp_path / "recorded").write_bytes(RECORDED.replace(b"12|CANCELLED by 1000", b"12|PENDING"))
    assert accounted_states(["12"], tmp_path) == {"12": "PENDING"}, changed("InfoWatcher.clear")


def test_accounting_that_is_off_prints_nothing(tmp_path, on_path, capfd):
    """If sacct refuses, the states are unknown; nothing is printed or raised."""
    on_path("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
    watcher = Accounting()
    assert watcher.get_info("11", mode="force") == {}
    assert capfd.readouterr() == ("", "")


def test_variables_of_a_login_shell_change_no_answer(on_path, tmp_path, monkeypatch):
    """Every Slurm command, also submitit's sacct, gets connection variables but no user settings."""
    kept = {
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_CLUSTERS": "wice",
        "SLURM_JWT": "token",
        "TZ": "UTC",
    }
    dropped = ["SBATCH_PARTITION", "SLURM_MEM_PER_CPU", "SQUEUE_PARTITION", "SACCT_FORMAT", "SINFO_FORMAT", "LC_ALL",
               "SLURM_TIME_FORMAT", "SCANCEL_STATE", "SCONTROL_ALL", "SLURM_BITSTR_LEN", "LANG", "POSIXLY_CORRECT"]  # fmt: skip
    for name, value in {**kept, **dict.fromkeys(dropped, "x")}.items():
        monkeypatch.setenv(name, value)
    for name in ("squeue", "sacct", "sbatch"):
        on_path(name, f'env > {tmp_path}/env-{name}; echo "Submitted batch job 4711"')
    commands.call(["squeue"])
    ScriptExecutor(tmp_path / "run", dict(os.environ)).submit_script(tmp_path / "job.sbatch")
    Accounting().get_info("11", mode="force")
    for name in ("squeue", "sacct", "sbatch"):
        found = dict(
            line.split("=", 1)
            for line in (tmp_path / f"env-{name}").read_text().splitlines()
            if "=" in line
        )
        assert {key: found.get(key) for key in kept} == kept
        assert not set(dropped) & set(found)


def test_a_local_job_runs_in_this_environment(tmp_path):
    """submitit's local executor runs a function elsewhere, adds only its own variables, hides GPUs."""
    user = "clusterrun/local.py"
    executor = LocalExecutor(tmp_path / "submitit")
    executor.update_parameters(timeout_min=60, gpus_per_node=0)
    job = executor.submit(subprocess.check_output, ["env", "-0"])
    job.wait()
    found = dict(pair.split("=", 1) for pair in job.result().decode().split("\0") if pair)
    added = {name for name in set(found) - set(os.environ) if not name.startswith("SUBMITIT_")}
    assert added <= {"CUDA_VISIBLE_DEVICES"}, changed(f"a local job's environment by {added}", user)
    assert found["CUDA_VISIBLE_DEVICES"] == "", changed(
        "CUDA_VISIBLE_DEVICES of a local job without GPUs", user
    )
