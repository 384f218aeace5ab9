#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=2
ARGS=(
    --epochs 3   # not many
    --lr 1e-4
    # --debug
    --bf16
)
srun torchrun --nproc_per_node=2 train.py "${ARGS[@]}"
