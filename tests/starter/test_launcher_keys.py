"""Launchers, options of srun, and the order of an environment: what init writes, and its proof."""

from __future__ import annotations

from typing import Any

import pytest

from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.oracle.proof import prove
from tests.support.drafts import SHELL, translated

GPUS = "#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2\n"
CPUS = "#!/bin/bash\n#SBATCH -N2 --ntasks-per-node=3 --cpus-per-task=4\n"
TASKS = "#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2 --ntasks-per-node=2 --cpus-per-task=4\n"
LAUNCHES: list[tuple[str, dict[str, Any]]] = [
    (f"{GPUS}srun torchrun --nnodes 2 --nproc_per_node 2 t.py --x 1\n", {"launcher": "torchrun"}),
    (f"{GPUS}srun torchrun --nnodes 2 --nproc_per_node 2 --tee 3 -m a.b\n",
     {"launcher": "torchrun", "module": "a.b", "tee": 3}),
    ("#!/bin/bash\n#SBATCH -N1\ntorchrun --standalone --nproc_per_node 4 t.py\n",
     {"launcher": "torchrun", "nproc_per_node": 4}),
    (f"{TASKS}srun python t.py fit\n", {"launcher": "srun", "args": ["fit"]}),
    (f"{TASKS}srun --mpi=pmix --cpu-bind=cores python -m a.b\n",
     {"launcher": "srun", "module": "a.b", "srun_options": {"mpi": "pmix", "cpu-bind": "cores"}}),
    (f"{CPUS}srun python t.py\n", {"launcher": "srun", "nproc_per_node": 3}),
    (f"{GPUS}srun python t.py\n", {"launcher": "srun", "nproc_per_node": 1}),
    (f"{GPUS}srun --environment=pt torchrun --nnodes 2 --nproc_per_node 2 t.py\n",
     {"launcher": "torchrun", "srun_options": {"environment": "pt"}}),
]  # fmt: skip
TRAIN = "accelerate launch t.py\n"
ONE = "#!/bin/bash\n#SBATCH --gpus=1\n"
SOURCE = "source /s/mini/etc/profile.d/conda.sh\n"
ENVIRONMENTS: list[tuple[str, dict[str, Any]]] = [
    (f"{SOURCE}conda activate e\n", {"conda": "e", "conda_base": "/s/mini"}),
    ("source $(conda info --base)/etc/profile.d/conda.sh\nconda activate e\n", {"conda": "e"}),
    ("source ~/.bashrc\nmodule load cuda\nconda activate e\n",
     {"setup_first": ["source ~/.bashrc || :"], "modules": ["cuda"], "conda": "e"}),
    ("source start.sh\nsource v/bin/activate\n", {"setup_first": ["source start.sh"], "venv": "v"}),
    ("module purge\nmodule use /m /n\nmodule load a b\n",
     {"module_purge": True, "module_use": ["/m", "/n"], "modules": ["a", "b"]}),
    ("export A=1\nsource start.sh\nsource v/bin/activate\n",
     {"variables": {"A": 1}, "setup": ["source start.sh", "use_venv v"]}),
    ("module load a\nsource start.sh\nconda activate e\n",
     {"modules": ["a"], "setup": ["source start.sh", "use_conda e"]}),
]  # fmt: skip


def prove_same(text: str, draft: Draft) -> None:
    proof = prove(text, draft, shell=SHELL, read_file={}.get)
    assert (proof.differences, proof.unchecked) == ((), "")


@pytest.mark.parametrize(("text", "keys"), LAUNCHES)
def test_a_launch_keeps_its_launcher(text: str, keys: dict[str, Any]) -> None:
    """With the same ranks on each node, and nothing of accelerate."""
    draft = translated(text)
    script = {} if "module" in keys else {"script": "t.py"}
    kept = ("launcher", "nproc_per_node", "tee", "script", "module", "srun_options", "accelerate")
    found = {key: value for key, value in draft.values.items() if key in (*kept, *keys)}
    args = {"args": draft.values["args"]} if "args" in found and "args" not in keys else {}
    assert found == {**script, **keys, **args}
    prove_same(text, draft)


def test_the_cpus_of_a_task_stay_with_srun() -> None:
    assert translated(f"{CPUS}srun python t.py\n").values["slurm"]["cpus-per-task"] == 4
    assert translated(f"{TASKS}srun torchrun t.py\n").values["slurm"]["cpus-per-task"] == 8


@pytest.mark.parametrize(("lines", "keys"), ENVIRONMENTS)
def test_an_environment_keeps_its_order(lines: str, keys: dict[str, Any]) -> None:
    """By the keys of a spec where they have the script's order, else as lines."""
    draft = translated(ONE + lines + TRAIN)
    assert draft.values["environment"] == keys
    prove_same(ONE + lines + TRAIN, draft)


def test_the_line_that_finds_conda_stays_if_the_activation_does() -> None:
    draft = translated(f"{ONE}{SOURCE}conda activate $(cat env)\n{TRAIN}")
    assert draft.values["environment"]["setup"][0] == SOURCE.strip()


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("nproc_per_node", 1, "ranks"),
        ("launcher", "torchrun", "ranks"),
        ("script", "o.py", "words"),
    ],
)
def test_another_launch_is_found(key: str, value: Any, kind: str) -> None:
    """The check is not fooled by a spec that starts other ranks."""
    draft = translated(f"{CPUS}srun python t.py\n")
    draft.values[key] = value
    if key == "launcher":
        del draft.values["nproc_per_node"]
    proof = prove(f"{CPUS}srun python t.py\n", draft, shell=SHELL, read_file={}.get)
    assert kind in [one.kind for one in proof.differences]
