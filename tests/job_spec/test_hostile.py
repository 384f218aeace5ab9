"""A value of a spec is refused, or arrives unchanged as one word, and has no other effect."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.script import render
from tests.support.bash_functions import run_script
from tests.support.hostile_values import VALUES
from tests.support.planned import plan_of

# The spec's own keys, with a place for the value in every kind of field. Two specs, because some
# fields exclude each other. {} is the value; a field that refuses it is omitted.
FIELDS: dict[str, dict[str, Any]] = {
    "script": {
        "name": "{}",
        "script": "{}",
        "args.{}": "flag",
        "args.value": "{}",
        "args.values": ["first", "{}", "last"],
        "slurm.partition": "{}",
        "slurm.time": "{}",
        "slurm.gres": "{}",
        "slurm.comment": "{}",
        "slurm.constraint": "{}",
        "slurm.reservation": "{}",
        "slurm.additional_parameters.{}": "value",
        "slurm.additional_parameters.newest": "{}",
        "slurm.chdir": "{}",
        "accelerate.main_training_function": "{}",
        "accelerate.deepspeed_config.{}": 1,
        "accelerate.deepspeed_config.value": "{}",
        "accelerate.deepspeed_config.deep": {"list": ["{}"]},
        "environment.modules": ["{}"],
        "environment.venv": "{}",
        "environment.variables.{}": "value",
        "environment.variables.VALUE": "{}",
        "checkpoint.every": "{}",
        "checkpoint.signal": "{}",
        "share": "{}",
        "profile.run_root": "{}",
    },
    "module": {
        "module": "{}",
        "args": ["first", "{}", "last"],
        "slurm.account": "{}",
        "slurm.qos": "{}",
        "slurm.mem": "{}",
        "slurm.nodelist": "{}",
        "slurm.signal": "{}",
        "slurm.array": "{}",
        "accelerate.config_file": "{}",
        "accelerate.mixed_precision": "{}",
        "environment.conda": "{}",
        "environment.variables.OTHER": "{}",
        "environment.secrets": ["{}"],
    },
}
COMMAND = ("script", "module", "args", "accelerate")
FOLDERS = {"slurm.chdir", "environment.venv", "profile.run_root"}
BASE = {"name": "hostile", "slurm.nodes": 1}

# Functions override programs on PATH: these replace commands and record their arguments.
STAND_INS = r"""
srun() { while [[ ${1:-} == --* ]]; do shift; done; export SLURM_NODEID=0; exec "$@"; }
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


def filled(pattern: Any, value: str) -> Any:
    """Replace {} by the value, in keys, values and lists."""
    if isinstance(pattern, dict):
        return {filled(key, value): filled(item, value) for key, item in pattern.items()}
    if isinstance(pattern, list):
        return [filled(item, value) for item in pattern]
    return pattern.replace("{}", value) if isinstance(pattern, str) else pattern


def flow(value: Any) -> str:
    """Write YAML with exactly this meaning, for any characters; `?` allows a key of any length."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return str(value)
    return (
        '"'
        + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
        + '"'
    )


def nested(fields: dict[str, Any], value: str) -> dict[str, Any]:
    """Build a tree from dotted paths; the last part of a path may be the value itself."""
    tree: dict[str, Any] = {}
    for path, item in fields.items():
        *above, last = path.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[filled(last, value)] = filled(item, value)
    return tree


@dataclass
class Case:
    """One value in one or more fields, and the folder of the run."""

    folder: Path
    fields: dict[str, Any]
    value: str
    what_runs: str

    def plan(self) -> LaunchPlan:
        """Load and plan; raises SpecError if the value is refused."""
        base = BASE if self.what_runs in self.fields else {**BASE, "script": "train.py"}
        tree = nested({**base, **self.fields}, self.value)
        profile = None
        if "profile" in tree:
            profile = self.folder / "profile.yaml"
            profile.write_text(flow(tree.pop("profile")))
        (self.folder / "job.yaml").write_text(flow(tree))
        loaded = load_spec(self.folder / "job.yaml", profile=profile, folder=self.folder / "work")
        return plan_of(
            loaded.spec, source=self.value, version="test", chdir=loaded.chdir or str(self.folder / "work"),
            run_root=loaded.run_root,
        )  # fmt: skip

    def with_fields(self, fields: dict[str, Any]) -> Case:
        """The same case with other fields."""
        return Case(self.folder, fields, self.value, self.what_runs)


def accepted(case: Case) -> dict[str, Any]:
    """The fields that accept the value."""
    found = {}
    for path, item in case.fields.items():
        try:
            case.with_fields({path: item}).plan()
        except SpecError:
            continue
        found[path] = item
    return found


def groups(case: Case) -> Iterator[Case]:
    """The fields that accept the value, together; a long value takes one field at a time."""
    taken = accepted(case)
    alone = [path for path in taken if path.startswith(COMMAND) and len(case.value) > 1000]
    yield case.with_fields({path: item for path, item in taken.items() if path not in alone})
    yield from (case.with_fields({path: taken[path]}) for path in alone)


def sbatch_options(script: str) -> list[tuple[str, str | None]]:
    """Read #SBATCH lines as sbatch does, up to the first command (_get_argument in opt.c)."""
    found: list[tuple[str, str | None]] = []
    for line in script.split("\n"):
        if line and not line.startswith("#"):
            break
        if line.startswith("#SBATCH"):
            (word,) = sbatch_words(line.removeprefix("#SBATCH"))
            name, equals, value = word.removeprefix("--").partition("=")
            found.append((name, value if equals else None))
    return found


def sbatch_words(line: str) -> list[str]:
    """Split a line as sbatch does: a backslash always escapes, quotes keep spaces, # is a comment."""
    words: list[str] = []
    word, quoting, escaped, inside = "", "", False, False
    for character in line:
        if escaped:
            word, escaped = word + character, False
        elif character == "\\":
            escaped = inside = True
        elif quoting:
            quoting, word = ("", word) if character == quoting else (quoting, word + character)
        elif character in "'\"":
            quoting, inside = character, True
        elif character == "#":
            break
        elif character.isspace():
            words, word, inside = ([*words, word] if inside else words), "", False
        else:
            word, inside = word + character, True
    assert not quoting
    return [*words, word] if inside else words


def intended(case: Case, plan: LaunchPlan) -> dict[str, str | None]:
    """The options that the script should pass to sbatch, derived from the fields alone."""
    tree = nested({**BASE, **case.fields}, case.value)
    slurm = tree["slurm"]
    extra = {
        key.replace("_", "-"): item for key, item in slurm.pop("additional_parameters", {}).items()
    }
    slurm.pop("chdir", None)
    return {
        "signal": "USR1@120", **{key: str(item) for key, item in (slurm | extra).items()}, "job-name": tree["name"],
        "ntasks-per-node": "1", "chdir": plan.chdir, "open-mode": "append", "requeue": None,
        "export": ",".join(tree.get("environment", {}).get("secrets", [])) or "NIL",
    }  # fmt: skip


def check_text(case: Case, plan: LaunchPlan) -> str:
    """Check that bash parses the script, and that sbatch reads the intended options from it."""
    script = render(plan)
    answer = run_script(script, "-n")
    assert (answer.returncode, answer.stderr) == (0, b"")
    options = sbatch_options(script)
    assert dict(options) == intended(case, plan)
    assert len(options) == len(dict(options))
    return script


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


def command_line(tree: dict[str, Any]) -> list[str]:
    """The words after accelerate's own flags, by the documented rules for args."""
    words = ["--module", tree["module"]] if "module" in tree else [tree.get("script", "train.py")]
    if isinstance(tree.get("args"), list):
        return words + tree["args"]
    for key, item in tree.get("args", {}).items():
        flag = key if key.startswith("-") else f"--{key}"
        if isinstance(item, str) and item.startswith("-"):
            words.append(f"{flag}={item}")
        else:
            words += [flag, *(item if isinstance(item, list) else [item])]
    return words


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


# The places of values in the arguments of a script with its own checkpoints.
OWN_CHECKPOINTS: list[dict[str, Any]] = [
    {"checkpoint.path": "{}"},
    {"checkpoint.path": "{run_dir}/{}*"},
    {"checkpoint.path": "x", "checkpoint.resume": "{}"},
    {"checkpoint.path": "x", "checkpoint.resume": ["--from", "{}", "{checkpoint}"]},
    {"checkpoint.path": "x", "checkpoint.resume": ["{}{checkpoint}{}"]},
]
SHOW_RESUME = """
accelerate() { printf '%s\\0' "$@"; }
prepare_shell() {
  printf '%s\\0' "$run_dir" "$checkpoint_path"
  checkpoint=$CHECKPOINT
  launch
  exit
}
main
"""


@pytest.mark.parametrize("name", VALUES)
def test_a_checkpoint_is_passed_unchanged(tmp_path, name):
    """A pattern, the words around a checkpoint and its name are refused or arrive unchanged."""
    value, checkpoint = VALUES[name], VALUES[name].replace("\0", "")[:60_000]
    for fields in OWN_CHECKPOINTS:
        case = Case(tmp_path, {**fields, "script": "train.py"}, value, "script")
        try:
            plan = case.plan()
        except SpecError:
            continue
        script = check_text(case, plan).removesuffix('main "$@"\n')
        environment = {"PATH": os.environ["PATH"], "CHECKPOINT": checkpoint, "SLURM_JOB_ID": "77"}
        answer = run_script(script + SHOW_RESUME, "-s", cwd=tmp_path, env=environment)
        assert (answer.returncode, answer.stderr) == (0, b"")
        run_dir, pattern, *argv, _ = answer.stdout.decode().split("\0")
        assert pattern == filled(fields["checkpoint.path"], value).replace("{run_dir}", run_dir)
        words = filled(
            fields.get("checkpoint.resume", ["--resume_from_checkpoint", "{checkpoint}"]), value
        )
        words = shlex.split(words) if isinstance(words, str) else words
        handed = [word.replace("{checkpoint}", checkpoint) for word in words] if checkpoint else []
        assert argv[argv.index("train.py") + 1 :] == handed
        assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("texts", [100, pytest.param(1000, marks=pytest.mark.extended)])
def test_any_text_is_refused_or_arrives_unchanged(tmp_path, texts):
    """Any text is refused, or reaches the command line, the environment and the config unchanged."""
    check = given(st.text(max_size=300))(lambda text: arrives(tmp_path, text))
    settings(max_examples=texts, deadline=None)(check)()


def arrives(folder: Path, text: str) -> None:
    fields = {path: FIELDS["script"][path] for path in ANYWHERE}
    case = Case(folder, fields, text, "script")
    case = case.with_fields(accepted(case))
    script = check_text(case, case.plan()).removesuffix('main "$@"\n')
    answer = subprocess.run(
        ["bash", "-c", script + SHOW], capture_output=True, cwd=folder, check=False
    )
    assert answer.returncode == 0, answer.stderr
    *argv, variable, config = answer.stdout.decode().split("\0")
    tree = nested({**BASE, **case.fields}, text)
    assert argv[13:] == command_line(tree)
    assert variable == tree.get("environment", {}).get("variables", {}).get("VALUE", "none")
    assert (
        tree["accelerate"]["deepspeed_config"].items()
        <= yaml.safe_load(config)["deepspeed_config"].items()
    )
    assert not (folder / "canary").exists()


# The fields that accept most texts, and the two functions that use them, called on their own.
ANYWHERE = (
    "args.value",
    "args.values",
    "slurm.comment",
    "accelerate.deepspeed_config.deep",
    "environment.variables.VALUE",
)
SHOW = """
clusterrun_step() { :; }; clusterrun_check() { :; }
accelerate() { printf '%s\\0' "$@"; }
apply_environment
node_dir=.
write_configs
launch
printf '%s\\0' "${VALUE-none}"
cat ./accelerate.yaml
"""
