"""What a spec cannot express is refused with its line and what to do; what it can is not."""

from __future__ import annotations

import pytest

from clusterrun.errors import SpecError
from clusterrun.starter.sbatch import from_sbatch
from tests.support.drafts import translated

HEAD = "#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2 --ntasks-per-node=1\n"
ONE = "#!/bin/bash\n#SBATCH --gpus-per-node=2\n"


@pytest.mark.parametrize(("text", "line", "what", "hint"), [
    (HEAD + "srun --container-image=/i.sqsh accelerate launch t.py", 3, "in a container", "apptainer"),
    (HEAD + "srun --container-name x --cpu-bind=none torchrun t.py", 3, "in a container", "apptainer"),
    (HEAD + "srun torchrun a.py\nsrun torchrun b.py", 3, "and line 4 another one", "one spec for each"),
    (HEAD + "srun bash -c 'accelerate launch a.py; accelerate launch b.py --x'\nsrun torchrun c.py", 3, "another one", "one spec for each"),
    (HEAD + "for s in 1 2; do srun torchrun t.py --seed $s; done", 3, "in a loop", "without the loop"),
    (HEAD + "while true; do srun torchrun t.py; done", 3, "in a loop", "without the loop"),
    (HEAD + "if [ -d x ]; then srun torchrun t.py; fi", 3, "depends on a condition", "the branch that you need"),
    (HEAD + "[ -d x ] && srun torchrun t.py", 3, "depends on a condition", "the branch that you need"),
    (HEAD + "srun -N1 -n1 vllm serve m &\nsrun -N1 torchrun t.py", 3, "next to the training", "a job of its own"),
    (HEAD + "srun -N 1 -n 1 torchrun t.py", 3, "on 1 of 2 nodes", "request 1 nodes"),
    (HEAD.replace("node=1", "node=2") + "srun singularity exec i.sif python t.py", 3, "2 tasks on each node", "torchrun --nproc-per-node 2"),
    (HEAD.replace("node=1", "node=2") + "srun ./program", 3, "2 tasks on each node", "torchrun"),
    (ONE + "accelerate launch t.py --lr $1 --name run-$2", 3, "$1 is an argument", "-- ARGUMENT..."),
    (ONE + "LR=$1\naccelerate launch t.py --lr $LR", 4, "$1 is an argument", "-- ARGUMENT..."),
    (ONE + 'accelerate launch "$@"', 3, "accelerate starts no script", "-- ARGUMENT..."),
    (ONE + "torchrun --nproc_per_node 2 $@", 3, "torchrun starts no script", "-- ARGUMENT..."),
    (ONE + "accelerate launch --config_file $CFG.yaml t.py", 3, "the name of the config file", "export it"),
    (ONE + "./a.sh > x\npython t.py --x pre-$NOWHERE", 4, "$NOWHERE is read", "export NOWHERE"),
    ("#!/bin/bash\n#SBATCH --exclusive\nmodule load cuda\naccelerate launch t.py", 4, "requests no GPU", "--num_processes"),
    ("#!/bin/bash\n#SBATCH --exclusive\nsrun deepspeed t.py", 3, "requests no GPU", "--num_processes"),
])  # fmt: skip
def test_what_is_refused(text, line, what, hint):
    with pytest.raises(SpecError) as caught:
        translated(text + "\n")
    problem = next(one for one in caught.value.problems if what in one.message)
    assert problem.where == f"old.sh:{line}"
    assert hint in problem.hint


@pytest.mark.parametrize("text", [
    HEAD + "for n in a b; do srun -N1 -n1 -w $n torchrun --node_rank 0 t.py & done\nwait",
    HEAD + "./monitor.sh &\nsrun torchrun t.py",
    HEAD + "python prepare.py\nsrun torchrun t.py\npython evaluate.py",
    ONE + "for s in 1 2; do accelerate launch t.py --seed $s; done",
    ONE + "if [ -d x ]; then accelerate launch t.py --resume; else accelerate launch t.py; fi",
    ONE + "accelerate launch t.py --lr ${1:-3}",
    ONE + 'accelerate launch t.py "$@"',
    ONE + 'python t.py --x "${NOWHERE:-1}" --y "$SLURM_JOB_ID" --z $HOME',
    ONE + "while read -r a b; do echo $a; done < f\npython t.py",
    ONE + "read -r A B < f\npython t.py $A-$B",
    ONE + "mapfile -t X < f\npython t.py ${X[0]}",
    ONE + "source settings.sh\npython t.py --x $FROM_SETTINGS",
    ONE + "python t.py --x $(awk '{print $1}' f)",
])  # fmt: skip
def test_what_is_not_refused(text):
    translated(text + "\n")


def test_arguments_of_the_script(tmp_path):
    """What follows the script's name in sbatch can be passed, and is proven, too."""
    path = tmp_path / "old.sh"
    path.write_text(
        ONE
        + 'source venv/bin/activate\naccelerate launch --num_processes 2 "$1" --lr $2 "${@:3}"\n'
    )
    draft = from_sbatch(path, environment={}, cwd=tmp_path, arguments=["t.py", "3e-4"])
    assert (draft.values["script"], str(draft.values["args"]["lr"]), draft.check) == (
        "t.py",
        "0.0003",
        "same",
    )


def test_a_difference_is_refused_unless_the_check_is_off(tmp_path, monkeypatch):
    """A spec that would start something else is not written, and the difference has its line."""
    monkeypatch.setattr(
        "clusterrun.starter.sbatch.translate",
        lambda *_, **__: translated(ONE + "accelerate launch t.py --x 2\n"),
    )
    path = tmp_path / "old.sh"
    path.write_text(ONE + "accelerate launch t.py --x 1\n")
    with pytest.raises(
        SpecError,
        match=r"old\.sh:3: check: the spec would not start the same as the script: word 3 is '2', and was '1'",
    ):
        from_sbatch(path, environment={}, cwd=tmp_path)
    assert "--no-check" in from_sbatch(path, environment={}, cwd=tmp_path, check=False).check
