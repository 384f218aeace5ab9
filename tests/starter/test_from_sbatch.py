"""The spec that is made of an old sbatch script, in full, and the reported mistakes with lines.

tests/sbatch_scripts has scripts in the styles that people publish, each with the spec made of it;
CLUSTERRUN_GOLDEN=write rewrites those specs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.job_spec.writing import write_spec
from clusterrun.job_spec.yaml_text import read_yaml
from clusterrun.starter.from_sbatch import flags
from clusterrun.starter.from_sbatch.draft import Draft
from tests.support.drafts import FOLDER, SCRIPTS, draft_of, mistakes_of, translated

# Line and name of every mistake that must be reported.
MISTAKES = {
    "accelerate_multinode": [(11, "requeue"), (33, "kill-on-bad-exit"), (33, "port"), (33, "srun-cpus")],
    "accelerate_escaped_rank": [(11, "requeue"), (21, "port"), (38, "pipe"), (38, "srun-cpus")],
    "accelerate_unescaped_rank": [
        (6, "launchers"), (8, "time"), (9, "output"), (9, "requeue"), (11, "secret"), (12, "secret"), (13, "address"),
        (14, "port"), (16, "set-e"), (18, "module-order"), (20, "kill-on-bad-exit"), (20, "srun-cpus"),
        (23, "num-processes"), (24, "node-rank"),
    ],
    "accelerate_deepspeed_flags": [(7, "requeue")],
    "no_srun_per_node": [(6, "time"), (10, "set-e"), (11, "first-node"), (11, "num-processes"), (11, "srun"),
                         (12, "accumulation"), (12, "port")],
    "torchrun_c10d": [(6, "requeue"), (11, "address"), (16, "kill-on-bad-exit"), (16, "srun-cpus"), (21, "port")],
    "single_gpu": [(8, "requeue")],
    "array_sweep": [(6, "requeue")],
    "deepspeed_launcher": [(12, "set-e"), (16, "port")],
    "fsdp_config_file": [(18, "kill-on-bad-exit")],
    "university_modules": [(14, "requeue"), (18, "set-e"), (22, "port"), (27, "late-directive"),
                           (28, "kill-on-bad-exit"), (28, "srun-cpus")],
    "apptainer": [(6, "requeue"), (10, "srun-cpus")],
    "heredoc_hostfile": [(8, "requeue"), (18, "pdsh"), (19, "port")],
    "bash_c_exports": [(8, "requeue"), (11, "port")],
    "trap_requeue": [(8, "output"), (14, "trap"), (16, "set-e"), (17, "cpu")],
    "trap_right": [(5, "trap-signal")],
    "launcher_array": [(7, "requeue")],
    "loop_over_nodes": [(8, "requeue"), (12, "background"), (12, "kill-on-bad-exit"), (12, "srun-cpus"), (13, "port")],
    "secrets_everywhere": [(5, "requeue"), (7, "secret"), (8, "secret"), (10, "secret"), (11, "secret")],
}  # fmt: skip


def test_every_script_has_its_mistakes_listed():
    assert set(MISTAKES) == set(SCRIPTS)
    assert len(SCRIPTS) >= 15


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_scripts(name):
    """bash can parse each of them, so that the tests use realistic scripts."""
    assert subprocess.run(["bash", "-n", FOLDER / f"{name}.sh"], check=False).returncode == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_spec_of_a_script(name):
    """The whole spec equals the reviewed one."""
    draft = draft_of(name)
    text = write_spec(draft.values, draft.comments)
    golden = FOLDER / f"{name}.yaml"
    if os.environ.get("CLUSTERRUN_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_mistakes_of_a_script(name):
    """Each mistake is reported with its line, and nothing else is."""
    assert mistakes_of(draft_of(name)) == sorted(MISTAKES[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_spec_is_valid(name, tmp_path):
    """The written spec is valid, and reads back as intended."""
    draft = draft_of(name)
    path = tmp_path / "job.yaml"
    path.write_text(write_spec(draft.values, draft.comments))
    assert read_yaml(path.read_text(), "job.yaml").value == read_back(draft)
    load_spec(path)


def read_back(draft: Draft) -> object:
    """Return the values as any YAML reader sees them, without the source of a number."""
    return read_yaml(yaml.safe_dump(plain(draft.values), sort_keys=False), "again").value


def plain(value: object, *, top: bool = True) -> object:
    if isinstance(value, dict):
        return {
            key: plain(inner, top=False) for key, inner in value.items() if not top or inner != {}
        }
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if isinstance(value, float) else int(value)
    return value


SAME: list[tuple[str, Callable[[dict[str, object]], object], object]] = [
    ("#SBATCH --ntasks-per-node=4 -c 2 -N 2", lambda slurm: (slurm["nodes"], slurm["cpus-per-task"]), (2, 8)),
    ("#SBATCH -n 8 --ntasks-per-node=4", lambda slurm: (slurm["nodes"], slurm["cpus-per-task"]), (2, 4)),
    ("#SBATCH -n 4 -c 2", lambda slurm: (slurm.get("nodes"), slurm["cpus-per-task"]), (None, 8)),
    ("#SBATCH --ntasks-per-node=2 --gpus-per-task=a100:2", lambda slurm: slurm["gpus-per-node"], "a100:4"),
    ("#SBATCH --signal=B:TERM@90", lambda slurm: slurm["signal"], "USR1@90"),
    ("#SBATCH -D /project", lambda slurm: slurm["chdir"], "/project"),
    ("#SBATCH --mail-type=END -x n[1-2] --deadline=now+1day", lambda slurm: [*slurm], ["mail-type", "exclude", "deadline"]),
    ("#SBATCH --brand-new=1", lambda slurm: slurm["additional_parameters"], {"brand-new": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("directive", "look", "expected"), SAME)
def test_the_same_resources_are_requested(directive, look, expected):
    """The nodes, CPUs and GPUs of all tasks are requested for the one task per node."""
    assert (
        look(translated(f"#!/bin/bash\n{directive}\nsrun accelerate launch t.py\n").values["slurm"])
        == expected
    )


def test_flags_with_a_config_file_are_merged():
    """A spec uses a config file unchanged; with further flags, both are merged into the section."""
    text = "#!/bin/bash\naccelerate launch --config_file c.yaml --mixed_precision bf16 t.py\n"
    config = "compute_environment: LOCAL_MACHINE\nmixed_precision: fp16\nnum_machines: 1\nfsdp_config: {fsdp_version: 2}\n"
    assert translated(text, {"c.yaml": config}).values["accelerate"] == {
        "compute_environment": "LOCAL_MACHINE", "mixed_precision": "bf16", "fsdp_config": {"fsdp_version": 2}}  # fmt: skip
    draft = translated(text)
    assert draft.values["accelerate"] == {"config_file": "c.yaml"}
    assert any("--mixed_precision not translated" in note.message for note in draft.notes)


def test_accelerates_default_config_is_read():
    """Without --config_file accelerate launch reads its default config, so the spec names that."""
    default = {
        "/home/alice/.cache/huggingface/accelerate/default_config.yaml": "mixed_precision: fp16\nnum_processes: 2\n"
    }
    translation = translated("#!/bin/bash\naccelerate launch t.py\n", default).values["accelerate"]
    assert translation == {"config_file": next(iter(default))}
    more = translated(
        "#!/bin/bash\naccelerate launch --mixed_precision bf16 t.py\n", default
    ).values["accelerate"]
    assert more == {"mixed_precision": "bf16", "num_processes": 2}


def test_the_launchers_flags_are_their_own():
    """accelerate and torchrun define which flags take no value; older flags are listed too."""
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    for name, parser in (("accelerate", launch_command_parser()), ("torchrun", get_args_parser())):
        words = [
            flag
            for action in parser._actions
            if action.nargs == 0
            for flag in action.option_strings
        ]
        bare = {flag.lstrip("-").replace("-", "_") for flag in words} - {"h", "help"}
        assert bare - flags._BARE[name] == set()


def test_a_heterogeneous_job_is_refused():
    with pytest.raises(SpecError, match=r"old\.sh:3: heterogeneous job"):
        translated("#!/bin/bash\n#SBATCH -N1\n#SBATCH hetjob\n#SBATCH -N2\nsrun python t.py\n")


def test_a_script_for_accelerate_is_launched_by_it():
    """Plain Python in one process becomes `script:` if the script uses accelerate."""
    text = "#!/bin/bash\n#SBATCH --gres=gpu:1\ncd code\npython train.py --x 1\n"
    assert translated(text).values["command"] == "python train.py --x 1"
    draft = translated(text, {"code/train.py": "from accelerate import Accelerator\n"})
    assert (draft.values["script"], draft.values["slurm"]["chdir"]) == ("train.py", "code")


def test_functions_are_followed_where_they_are_called():
    """`main "$@"` at the end, and functions with parameters, are read as calls."""
    text = (
        '#!/bin/bash\n#SBATCH -N2 --gpus-per-node=4\nrun() {\n  NCCL_DEBUG=INFO srun torchrun --nproc_per_node 4 "$1" --x "${@:2}" $2\n}\n'
        'main() {\n  module load cuda\n  run train.py 1\n}\nmain "$@"\n'
    )
    draft = translated(text.replace(' "${@:2}"', ""))
    assert (draft.values["script"], draft.values["args"]) == ("train.py", {"x": 1})
    assert draft.values["environment"] == {"modules": ["cuda"], "variables": {"NCCL_DEBUG": "INFO"}}
    assert (4, "port") not in mistakes_of(draft)
    assert translated(text).values["args"] == {"x": [1, 1]}


def test_recursion_ends():
    assert (
        translated("#!/bin/bash\nf() { f; python t.py; }\nf\n").values["command"] == "python t.py"
    )


def test_commands_of_the_first_node_stay_there():
    """Without srun a batch script's commands run on its first node; a `command` runs on each."""
    draft = translated("#!/bin/bash\n#SBATCH -N2\nmpirun -np 8 python t.py\n")
    assert (
        draft.values["command"]
        == 'if [ "$SLURM_NODEID" -eq 0 ]; then\nmpirun -np 8 python t.py\nfi'
    )


def test_search_paths_are_extended_where_the_job_runs():
    """The submitting shell's PATH is not copied: the line is kept, after the activation."""
    draft = translated(
        "#!/bin/bash\nexport PATH=/x/bin:$PATH\naccelerate launch t.py\n", PATH="/login/bin"
    )
    assert draft.values["environment"] == {"setup": ["export PATH=/x/bin:$PATH"]}


def test_commands_after_the_training_are_reported():
    draft = translated("#!/bin/bash\npython prepare.py\naccelerate launch t.py\ncp out /store\n")
    assert draft.values["environment"]["setup"] == ["python prepare.py"]
    assert [
        note.where for note in draft.notes if "a run ends with its training" in note.message
    ] == ["old.sh:4"]


def test_variables_of_the_submitting_shell():
    """A plain variable of the submitting shell is in the spec by value, a secret by name only."""
    text = "#!/bin/bash\n./fetch $DATA $API_KEY\naccelerate launch t.py\n"
    translation = translated(text, DATA="/d", API_KEY="s3cret", HF_TOKEN="x").values["environment"]  # noqa: S106
    assert (translation["variables"], translation["secrets"]) == (
        {"DATA": "/d"},
        ["API_KEY", "HF_TOKEN"],
    )


def test_the_inherited_python():
    """sbatch passes the shell's active environment on; a script that names another one keeps that."""
    text = "#!/bin/bash\n{}\naccelerate launch t.py\n"
    assert translated(text.format(""), VIRTUAL_ENV="/v").values["environment"]["venv"] == "/v"
    assert translated(text.format(""), CONDA_PREFIX="/c").values["environment"]["conda"] == "/c"
    assert translated(text.format("source own/bin/activate"), VIRTUAL_ENV="/v").values[
        "environment"
    ] == {"venv": "own"}
    assert (
        "venv"
        not in translated(text.format("#SBATCH --export=NONE"), VIRTUAL_ENV="/v").values[
            "environment"
        ]
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_truncated_scripts(name):
    """A truncated script gives a spec that reads back as intended, or a reported mistake."""
    lines = (FOLDER / f"{name}.sh").read_text().splitlines(keepends=True)
    for number in range(len(lines)):
        for text in ("".join(lines[:number]), "".join(lines[:number] + lines[number + 1 :])):
            with suppress(SpecError):
                draft = translated(text, {"train.py": "import accelerate\n"})
                assert read_yaml(
                    write_spec(draft.values, draft.comments), "job.yaml"
                ).value == read_back(draft)


@pytest.mark.parametrize("text", ["", "#!/bin/bash\n#SBATCH -N1\n", "#!/bin/bash\nA=1\necho $A\n"])
def test_a_script_that_starts_nothing(text):
    with pytest.raises(SpecError, match="no training command found"):
        translated(text)


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/bash\nif [ 1 ; then\naccelerate launch t.py\n",
        "python t.py 'open\n",
        "))((\npython t.py\n",
    ],
)
def test_invalid_bash_gives_no_traceback(text):
    """Text that bash cannot parse gives a draft or a reported mistake, never a traceback."""
    with suppress(SpecError):
        translated(text)
