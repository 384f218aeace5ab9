"""The kinds of faults that a translation must not have, each with several members."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec.secret_forms import is_secret_name, secrets_in
from clusterrun.starter.from_sbatch.words import names_in
from clusterrun.starter.oracle.proof import prove
from clusterrun.starter.sbatch import from_sbatch
from tests.support.drafts import SHELL, mistakes_of, names_of, translated

ONE = "#!/bin/bash\n#SBATCH --gpus-per-node=2\n"
TWO = "#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2 --ntasks-per-node=1\n"


@pytest.mark.parametrize(("text", "expected"), [
    ("$((a * 10))", {"a"}), ("(( b = c + $d ))", {"b", "c", "d"}), ("[[ e -gt 3 ]]", {"e"}), ("${f[g]} ${h[$i]}", {"f", "g", "h", "i"}),
    ("[[ $j == k ]]", {"j"}), ("echo l", set()), ("${#m[@]} ${!n}", {"m", "n"}),
])  # fmt: skip
def test_names_without_a_dollar_are_read(text, expected):
    assert names_in(text) == expected


@pytest.mark.parametrize("lines", [
    "ID=$SLURM_ARRAY_TASK_ID\npython t.py --seed $((ID * 10))", "A=(1 2)\ni=1\npython t.py ${A[i]}", "N=3\n((M = N + 1))\npython t.py $M",
    "ARGS=(\n --a 1 # one\n --b 2\n)\npython t.py ${ARGS[@]}", 'A="--a 1"\nB="--b 2"\nX="$A \\\n  $B"\npython t.py $X $NEVER_SET',
    "f() { export A=1; }\nf\npython t.py", "T=$(mktemp -d)\npython t.py $T $T", "P=$((RANDOM % 10))\npython t.py $P $P",
    "read -r A B <<< '1 2'\npython t.py $A $B", "CMD='python t.py --x 1'\neval $CMD", "CMD='python t.py --x 1'\n$CMD",
    "source ~/.bashrc\nconda activate e\npython t.py", "source /scratch/c/miniconda3/etc/profile.d/conda.sh\nconda activate e\npython t.py",
    "module use /x\nmodule load a b\nsource v/bin/activate\npython t.py", "cd sub\nexport X=$PWD/y\npython t.py", "module load a || true\npython t.py",
    "export MAX_NEW_TOKENS=512\npython t.py --max_new_tokens $MAX_NEW_TOKENS", "for s in 1 2; do python t.py --seed $s; done",
    "trap 'rm -rf /tmp/x' EXIT\npython t.py", "case $SLURM_JOB_PARTITION in a) B=1 ;; *) B=2 ;; esac\npython t.py $B", "./m.sh &\npython t.py\nkill $!",
])  # fmt: skip
def test_a_kind_of_line_is_carried(lines):
    """Each is translated so that the new run starts the same."""
    text = f"{ONE.replace('=2', '=1')}{lines}\n"
    proof = prove(text, translated(text), shell=SHELL, read_file={}.get)
    assert (proof.differences, proof.unchecked) == ((), "")


@pytest.mark.parametrize("lines", [
    "f() { export A=1; source v/bin/activate; }\nexport -f f\nsrun bash -c 'f; accelerate launch --num_machines 2 t.py x=[a]'",
    "srun singularity exec --nv i.sif torchrun --nnodes 2 --rdzv_endpoint $(hostname):29500 t.py --x $(date +%s)",
    'P=$((RANDOM + 10000))\nsrun --export=ALL,A=1 apptainer exec i.sif bash -c "torchrun --master_port $P t.py"',
    "nodes=$(scontrol show hostnames | wc -l)\nsrun torchrun --nnodes $nodes --nproc_per_node 2 t.py --n $nodes",
    "N=$(expr $SLURM_NNODES \\* 2)\nsrun accelerate launch --num_processes $N --num_machines 2 t.py --n $N",
    "srun --ntasks-per-node=2 python t.py", "export MASTER_PORT=$((10000 + SLURM_JOB_ID % 1000))\nsrun torchrun --master_port $MASTER_PORT t.py $SLURM_JOB_ID",
])  # fmt: skip
def test_a_kind_of_launch_is_carried(lines):
    text = f"{TWO}{lines}\n"
    proof = prove(text, translated(text), shell=SHELL, read_file={}.get)
    assert (proof.differences, proof.unchecked) == ((), "")


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("MAX_NEW_TOKENS", "512", False), ("NUM_TOKENS", None, False), ("PAD_TOKEN", "<pad>", False), ("EOS_TOKEN", None, False), ("SORT_KEY", "length", False),
    ("TOKEN_FILE", "/x", False), ("HF_TOKEN", "/run/secret/token", False), ("OPENAI_API_KEY", "EMPTY", False), ("LABEL_KEY", "abcdefgh12345678", False),
    ("MYTOKEN", "a1b2c3d4e5f6", True), ("OPENAI_KEY", "a1b2c3d4e5f6a7", True), ("GH_PAT", "abcdef", True), ("PASSWORD", "correct-horse", True),
    ("--hub_token", None, True), ("--api-key", "a1b2c3d4", True), ("--wandb_key", "a1b2c3d4e5f6", True), ("AWS_SECRET_ACCESS_KEY", "abcdef", True),
    ("HF_TOKEN", "", False), ("TOKENIZERS_PARALLELISM", "false", False), ("--max-tokens", "4096", False), ("--stop_token", "</s>", False),
])  # fmt: skip
def test_a_secret_is_known_by_its_name_and_value(name, value, expected):
    assert is_secret_name(name, value) is expected


@pytest.mark.parametrize("line", [
    "accelerate launch t.py --hub_token VALUE", "accelerate launch t.py --password VALUE", "accelerate launch t.py --wandb_key=VALUE",
    "accelerate launch t.py --api-key VALUE", "export MYTOKEN=VALUE\naccelerate launch t.py", "export OPENAI_KEY=VALUE\naccelerate launch t.py",
    "export GH_PAT=VALUE\naccelerate launch t.py", "export DB_URL=postgres://user:VALUE@host/db\naccelerate launch t.py",
    "export GIT_REMOTE=https://oauth2:VALUE@host/x.git\naccelerate launch t.py", "wandb login VALUE\naccelerate launch t.py",
    "export SLACK=https://hooks.slack.com/services/T0/B0/VALUE\naccelerate launch t.py", "git clone https://u:VALUE@host/x\naccelerate launch t.py",
    "curl -H 'Authorization: Bearer VALUE' https://x\naccelerate launch t.py", 'curl -H "Authorization: Bearer VALUE" x\naccelerate launch t.py',
    "read API_TOKEN <<< VALUE\naccelerate launch t.py", "huggingface-cli login --token VALUE\naccelerate launch t.py",
    "srun bash -c 'export API_KEY=VALUE; accelerate launch t.py'", "ARGS=(--api_key VALUE)\naccelerate launch t.py ${ARGS[@]}",
    "CMD='accelerate launch t.py --api_key VALUE'\n$CMD", "MY_SECRET=VALUE accelerate launch t.py", "export A_TOKEN=VALUE B=2\naccelerate launch t.py",
])  # fmt: skip
def test_a_secret_is_in_no_output(line):
    """A value that is a secret by name or form is in no value, comment or message."""
    value = "s3cr3tvalue0123456789"
    text = ONE + line.replace("VALUE", value) + "\n"
    assert value not in f"{translated(text)}"


def test_a_secret_inside_single_quotes_is_read_from_the_environment():
    draft = translated(ONE + "curl -H 'Authorization: Bearer s3cr3tvalue0123' x\npython t.py\n")
    assert draft.values["environment"]["setup"] == [
        "curl -H 'Authorization: Bearer '\"${BEARER_TOKEN}\"'' x"
    ]
    assert secrets_in("a commit 89abcdef0123456789abcdef0123456789abcdef") == {}


@pytest.mark.parametrize(("lines", "name", "there"), [
    ('cd "$(dirname "$0")"\npython t.py', "script-folder", True), ('cd "$SLURM_SUBMIT_DIR"\npython t.py', "script-folder", False),
    ("conda init bash\nconda activate e\npython t.py", "conda-init", True), ("mamba init\npython t.py", "conda-init", True),
    ("deepspeed --hostfile h t.py", "pdsh", True), ("srun deepspeed --hostfile h t.py", "pdsh", False),
    ("srun bash -c 'torchrun --master_port $((RANDOM + 10000)) t.py'", "port-of-node", True),
    ("accelerate launch --deepspeed_config_file ds.json t.py", "deepspeed-flag", True),
    ("accelerate launch --use_deepspeed --deepspeed_config_file ds.json t.py", "deepspeed-flag", False),
    ("accelerate launch --config_file c.yaml --deepspeed_config_file ds.json t.py", "deepspeed-flag", False),
    ("PORT=29500\nwhile ss -tln | grep -q $PORT; do PORT=$((PORT + 1)); done\nsrun torchrun --master_port $PORT t.py", "port", False),
    ("PORT=29500\nsrun torchrun t.py", "port", False), ("PORT=29500\nsrun torchrun --master_port $PORT t.py", "port", True),
    ("srun singularity exec i.sif torchrun --master_port 29500 t.py", "port", True), ("source common.sh\nsrun torchrun t.py", "first-node", False),
    ("export MASTER_ADDR=$HOSTNAME\nsrun torchrun t.py", "first-node", False), ("srun torchrun --rdzv_id $SLURM_JOB_ID t.py", "job-id", False),
    ("srun singularity exec i.sif torchrun --rdzv_id $SLURM_JOB_ID t.py", "job-id", False), ("srun torchrun t.py --out $SLURM_JOB_ID", "job-id", True),
    ("python -m vllm.entrypoints.api --tensor-parallel-size 2", "idle-gpus", False), ("srun torchrun --tasks-per-node 1 t.py", "directive", False),
])  # fmt: skip
def test_a_mistake_is_named_only_where_it_is_one(lines, name, there):
    assert (name in names_of(f"{TWO}{lines}\n")) is there


def test_tasks_per_node_is_an_option_of_sbatch():
    draft = translated(
        "#!/bin/bash\n#SBATCH -N1 --gpus-per-node=2 --tasks-per-node=2\nsrun torchrun t.py\n"
    )
    assert "launchers" in {name for _, name in mistakes_of(draft)}
    assert "directive" not in {name for _, name in mistakes_of(draft)}


@pytest.mark.parametrize(("name", "expected"), [
    ("dataset_translation_%A_%a", "dataset_translation"), ("%x-%j", "run"), ("run%j", "run"), ("a b", "a-b"),
])  # fmt: skip
def test_a_pattern_is_not_part_of_the_name(name, expected):
    assert translated(f'#!/bin/bash\n#SBATCH -J "{name}"\npython t.py\n').values["name"] == expected


def test_hints_for_a_command_speak_of_the_command():
    """What stays in a command is not called fixed."""
    text = (
        TWO
        + "export A=$(hostname -i)\nsrun singularity exec i.sif torchrun --master_port 29500 --nnodes 3 t.py\n"
    )
    hints = {one.key: one.hint for one in translated(text).mistakes}
    assert (
        hints["port"]
        == "use $MASTER_PORT in the command: a free port, which the job script exports"
    )
    assert hints["address"] == "use $MASTER_ADDR in the command: an address of the first node"


@pytest.mark.parametrize("text", [
    "V0=a\n" + "".join(f"V{n}=$V{n - 1}$V{n - 1}\n" for n in range(1, 60)) + "accelerate launch t.py --x $V59\n",
    "X=" + "a" * 5_000_000 + "\npython t.py\n", "#SBATCH " + "-" * 500_000 + "\npython t.py\n", "python t.py " + "$(" * 3000 + "\n",
    "(" * 5000 + "python t.py" + ")" * 5000 + "\n", "python " + "a/" * 25_000 + "t.py\n", "f() { f; }\nf\npython t.py\n",
    "python t.py " + '"' + "$(echo " * 90 + ")" * 90 + '"\n', "A+=a\n" * 5000 + "python t.py $A\n", "eval " * 500 + "python t.py\n",
])  # fmt: skip
def test_a_hostile_script_is_read_or_refused_in_seconds(tmp_path, text):
    path = tmp_path / "old.sh"
    path.write_text("#!/bin/bash\n" + text)
    with suppress(SpecError):
        from_sbatch(path, environment={}, cwd=tmp_path)


def test_a_fifo_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "old.sh")
    with pytest.raises(SpecError, match="cannot be read"):
        from_sbatch(tmp_path / "old.sh", environment={}, cwd=tmp_path)


def test_a_config_that_the_script_writes_becomes_the_section():
    """A here-document that is accelerate's config is not a file that the spec needs."""
    config = "mixed_precision: $P\nfsdp_config:\n  fsdp_version: 2\n"
    text = f"{ONE}P=bf16\ncat > c.yaml <<EOF\n{config}EOF\naccelerate launch --config_file c.yaml t.py\n"
    draft = translated(text)
    expected = {"mixed_precision": "bf16", "fsdp_config": {"fsdp_version": 2}}
    assert (draft.values["accelerate"], draft.values["environment"]) == (expected, {})
    again = translated(text.replace("t.py", "t.py --config c.yaml"))
    assert again.values["accelerate"] == {"config_file": "c.yaml"}


def test_the_training_is_chosen_among_several_programs():
    draft = translated(
        "#!/bin/bash\npython prepare.py\npython train.py --x 1\npython evaluate.py\n"
    )
    assert draft.values["command"] == "python train.py --x 1"
    assert draft.values["environment"]["setup"] == ["python prepare.py"]


def test_braces_of_an_argument_are_no_placeholders():
    text = f"{ONE}accelerate launch t.py --out {{job_id}} --name '{{step}}-{{run_dir}}' --j '{{\"a\": 1}}'\n"
    draft = translated(text)
    assert draft.values["args"] == {
        "out": "{{job_id}}",
        "name": "{step}-{{run_dir}}",
        "j": '{"a": 1}',
    }
    assert prove(text, draft, shell=SHELL, read_file={}.get).differences == ()
