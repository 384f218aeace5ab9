"""Mistakes of an old script are reported, and only mistakes."""

from __future__ import annotations

import pytest

from tests.support.drafts import names_of

SRUN = "#!/bin/bash\n#SBATCH -N2 {}\nset -e\nM=$(scontrol show hostnames | head -n1)\n{}\n"


@pytest.mark.parametrize(("text", "name", "there"), [
    (SRUN.format("", "srun accelerate launch --machine_rank $SLURM_NODEID t.py"), "node-rank", True),
    (SRUN.format("", "srun bash -c 'accelerate launch --machine_rank $SLURM_NODEID t.py'"), "node-rank", False),
    (SRUN.format("", 'srun bash -c "accelerate launch --machine_rank $SLURM_NODEID t.py"'), "node-rank", True),
    (SRUN.format("", 'srun bash -c "accelerate launch --machine_rank \\$SLURM_NODEID t.py"'), "node-rank", False),
    (SRUN.format("", "export NODE_RANK=$SLURM_NODEID\nsrun torchrun t.py"), "node-rank", True),
    (SRUN.format("--ntasks-per-node=4", "srun accelerate launch t.py"), "launchers", True),
    (SRUN.format("--ntasks-per-node=4", "srun --ntasks-per-node=1 accelerate launch t.py"), "launchers", False),
    (SRUN.format("--ntasks-per-node=4", "srun python t.py"), "launchers", False),
    (SRUN.format("-c 4", "srun torchrun t.py"), "srun-cpus", True),
    (SRUN.format("-c 4", "export SRUN_CPUS_PER_TASK=4\nsrun torchrun t.py"), "srun-cpus", False),
    (SRUN.format("-c 4", "srun -c 4 torchrun t.py"), "srun-cpus", False),
    (SRUN.format("", "srun -K torchrun t.py"), "kill-on-bad-exit", False),
    (SRUN.format("", "srun torchrun t.py"), "kill-on-bad-exit", True),
    (SRUN.format("", "accelerate launch t.py"), "srun", True),
    (SRUN.format("", "srun accelerate launch --num_machines 3 t.py"), "machines", True),
    (SRUN.format("--gpus-per-node=4", "srun accelerate launch --num_processes 8 t.py"), "num-processes", False),
    (SRUN.format("--gpus-per-node=4", "srun accelerate launch --num_processes 4 t.py"), "num-processes", True),
    (SRUN.format("--requeue", "srun torchrun t.py"), "requeue", False),
    (SRUN.format("", "srun torchrun t.py & "), "background", True),
    (SRUN.format("", "srun torchrun t.py &\nwait"), "background", False),
    (SRUN.format("--signal=B:USR1@60", "trap 'echo' USR1\nsrun torchrun t.py"), "trap", True),
    (SRUN.format("--signal=B:USR1@60", "trap 'echo' USR1\nsrun torchrun t.py &\nwait"), "trap", False),
    (SRUN.format("", "trap 'rm -f x' EXIT\nsrun torchrun t.py"), "trap", False),
    (SRUN.format("-o x.log", "srun torchrun t.py"), "output", True),
    (SRUN.format("-o x-%A_%a.log", "srun torchrun t.py"), "output", False),
    (SRUN.format("-t 24", "srun torchrun t.py"), "time", True),
    (SRUN.format("-t 48:00", "srun torchrun t.py"), "time", True),
    (SRUN.format("-t 90", "srun torchrun t.py"), "time", False),
    (SRUN.format("-t 24:00:00", "srun torchrun t.py"), "time", False),
    (SRUN.format("", "export MASTER_ADDR=localhost\nsrun torchrun t.py"), "address", True),
    (SRUN.format("", "export MASTER_PORT=$((10000 + SLURM_JOB_ID % 1000))\nsrun torchrun t.py"), "port", False),
    (SRUN.format("", "srun torchrun t.py | tee log"), "pipe", True),
    (SRUN.format("", "set -o pipefail\nsrun torchrun t.py | tee log"), "pipe", False),
    (SRUN.format("--output=$HOME/x-%j", "srun torchrun t.py"), "directive", True),
    ("#!/bin/bash\n#SBATCH -N2\nsrun torchrun t.py", "first-node", True),
    (SRUN.format("", "srun torchrun t.py"), "first-node", False),
    ("#!/bin/bash\nmodule load cuda\npython t.py", "set-e", True),
    ("#!/bin/bash -e\nmodule load cuda\npython t.py", "set-e", False),
    ("#!/bin/bash\nset -euo pipefail\nmodule load cuda\npython t.py", "set-e", False),
    ("#!/bin/bash\n#SBATCH --gres=gpu:4\npython t.py", "idle-gpus", True),
    ("#!/bin/bash\n#SBATCH --gres=gpu:1\npython t.py", "idle-gpus", False),
    ("#!/bin/bash\n#SBATCH --gres=gpu:1\nexport CUDA_VISIBLE_DEVICES=0\npython t.py", "devices", True),
    ("#!/bin/bash\npython t.py --out out/$SLURM_JOB_ID", "job-id", True),
    ("#!/bin/bash\nexport HF_TOKEN=$HF_TOKEN\npython t.py", "secret", False),
    ("#!/bin/bash\nexport HF_TOKEN=$(cat ~/.token)\npython t.py", "secret", False),
    ("#!/bin/bash\npython t.py --revision 89abcdef0123456789abcdef0123456789abcdef", "secret", False),
    ("#!/bin/bash\npython t.py --hub_token hf_onlyForTests0123456789", "secret", True),
])  # fmt: skip
def test_a_mistake_is_reported_only_if_it_is_one(text, name, there):
    assert (name in names_of(text)) is there
