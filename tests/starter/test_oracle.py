"""What the check of a translation records and compares, and that it executes nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from clusterrun.starter.oracle.before_training import Difference
from clusterrun.starter.oracle.events import CannotRecordError, record
from clusterrun.starter.oracle.proof import prove
from clusterrun.starter.oracle.steps import Cluster, steps_of
from tests.support.drafts import SHELL, translated

HEAD = "#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2 --requeue\nset -e\n"


def differences(text: str, **changes: object) -> list[Difference]:
    """Return the differences after a change of a correct translation."""
    draft = translated(text)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            draft.values.setdefault(section, {})[name] = value
        else:
            draft.values[section] = value
    return list(prove(text, draft, shell=SHELL, read_file={}.get).differences)


TRAIN = HEAD + (
    "module load cuda/12\nexport NCCL_DEBUG=INFO\npython prepare.py\n"
    "srun accelerate launch --num_machines 2 --num_processes 4 --mixed_precision bf16 train.py --lr 1\n"
)


def test_a_correct_translation_has_no_difference():
    assert differences(TRAIN) == []


@pytest.mark.parametrize(("key", "value", "kind", "line", "what"), [
    ("args", {"lr": 2}, "words", 7, "word 3 is '2', and was '1'"),
    ("args", {}, "words", 7, "`--lr 1` is missing"),
    ("script", "other.py", "words", 7, "word 1 is 'other.py', and was 'train.py'"),
    ("slurm__chdir", "code", "folder", 7, "the working folder is /home/alice/project/code, and was /home/alice/project"),
    ("environment__modules", [], "order", 7, "`module load cuda/12` is missing"),
    ("environment__modules", ["cuda/12", "gcc"], "order", 7, "`module load gcc` is new"),
    ("environment__variables", {}, "variable", 7, "NCCL_DEBUG is not set, and was 'INFO'"),
    ("environment__setup", [], "before", 6, "`python prepare.py` is not started before the training"),
    ("accelerate", {"mixed_precision": "fp16"}, "setting", 7, "mixed_precision is fp16, and was bf16"),
    ("accelerate", {"mixed_precision": "bf16", "use_cpu": True}, "device", 7, "it trains on CPUs, and did on GPUs"),
])  # fmt: skip
def test_each_difference_is_found(key, value, kind, line, what):
    """A spec that would start something else is not called the same."""
    assert Difference(kind, line, what) in differences(TRAIN, **{key: value})


def test_what_is_new_at_each_call_is_compared_by_its_use():
    """`mktemp` called once is not `mktemp` called twice."""
    text = HEAD.replace("-N2", "-N1") + "T=$(mktemp -d)\ncp a $T\npython train.py --x $T --y $T\n"
    assert differences(text) == []
    assert differences(text, command="python train.py --x $(mktemp -d) --y $T")


@pytest.mark.parametrize("line", [
    "touch {mark}", "/usr/bin/touch {mark}", "X=/usr/bin/touch; $X {mark}", "$(touch {mark})", "echo a > {mark}", ": >> {mark}",
    "echo a | tee {mark}", "eval 'touch {mark}'", "eval '/usr/bin/touch {mark}'", "bash -c 'touch {mark}'", "srun touch {mark}",
    "srun bash -c 'echo a > {mark}'", "exec touch {mark}", "command touch {mark}", "builtin exec touch {mark}", "env touch {mark}",
    "trap 'touch {mark}' EXIT", "f() {{ touch {mark}; }}; f", "cat <<< a > {mark}", "cat > {mark} <<E\na\nE", "true 3> {mark}",
    "PATH=/usr/bin; touch {mark}", "export PATH=/usr/bin; touch {mark}", "hash -p /usr/bin/touch t; t {mark}", "{{ true; }} > {mark}",
    "set +r; /usr/bin/touch {mark}", "enable -f /x.so y; touch {mark}", "exec 5<> {mark}", "coproc touch {mark}", "exec {{fd}}> {mark}",
    "BASH_ENV=/dev/null /bin/bash -c 'touch {mark}'", "source /dev/stdin <<< 'touch {mark}'", "xargs touch {mark}", "sort -o {mark} x",
    "awk 'BEGIN{{system(\"touch {mark}\")}}'", "find . -exec touch {mark} \\;", "while :; do touch {mark}; break; done", "kill -9 $$",
    "printf -v X '%s' a; mapfile < <(touch {mark})", "unset -f command_not_found_handle; touch {mark}", "declare -f -x f; ulimit -f 0",
])  # fmt: skip
def test_nothing_is_executed(tmp_path, line):
    """No program runs and no file is written, whatever a script does."""
    mark = tmp_path / "mark"
    text = line.replace("{mark}", str(mark)).replace("{{", "{").replace("}}", "}")
    with suppress(CannotRecordError):
        steps_of(text + "\naccelerate launch t.py\n", dict(SHELL), "/", Cluster(1, 1, 0))
    assert not mark.exists()


@pytest.mark.parametrize(
    "line",
    [
        "while :; do :; done",
        "f() { f | f & }; f",
        "X=a; while :; do X=$X$X; done",
        "while :; do echo a; done",
    ],
)
def test_a_hostile_script_has_bounds(line, monkeypatch):
    """A script that does not end, or that fills the memory, is given up in seconds."""
    monkeypatch.setattr("clusterrun.starter.oracle.events.WALL_S", 1.0)
    with suppress(CannotRecordError):
        record(line, {}, node=0, folder="/")


def test_the_number_of_ranks_is_compared():
    text = "#!/bin/bash\nexport A=1\ntorchrun --nproc_per_node 2 train.py\n"
    assert differences(text) == []
    found = differences(text, nproc_per_node=3)
    assert found == [Difference("ranks", 3, "node 0 has 3 ranks, and had 2")]


@pytest.mark.parametrize("name", ["POSIXLY_CORRECT", "SHELLOPTS", "BASHOPTS", "ENV", "BASH_ENV"])
def test_the_environment_does_not_lift_the_restrictions(tmp_path, name):
    """A variable that changes how bash starts does not reach the recorded shell."""
    value = {"SHELLOPTS": "posix", "BASHOPTS": "extdebug"}.get(name, "/dev/null")
    found = record(f"/usr/bin/touch {tmp_path}/mark", {name: value}, node=0, folder="/")
    assert [event.words[0] for event in found] == ["/usr/bin/touch"]
    assert not (tmp_path / "mark").exists()


def test_unknown_programs_are_named():
    text = HEAD + "./prepare.sh\nsrun accelerate launch --num_machines 2 train.py\n"
    proof = prove(text, translated(text), shell=SHELL, read_file={}.get)
    assert (proof.differences, proof.programs) == ((), ("./prepare.sh",))


def test_what_cannot_be_recorded_is_said():
    text = HEAD + "read PATH <<< /x\nsrun accelerate launch --num_machines 2 train.py\n"
    proof = prove(text, translated(text), shell=SHELL, read_file={}.get)
    assert proof.unchecked.startswith("line 4: ")
