#!/bin/bash
#SBATCH --gpus-per-node=1
#SBATCH --time=2:00:00
cd $HOME/project
export UV_OFFLINE=1
uv run python train.py --lr 1e-3
