#!/bin/bash
#SBATCH --job-name=ft
#SBATCH --gres=gpu:2
#SBATCH --time=08:00:00
CONDA_BASE=$(conda info --base)
source $CONDA_BASE/etc/profile.d/conda.sh
conda activate llm
torchrun --standalone --nproc_per_node=2 train.py --config configs/base.json
