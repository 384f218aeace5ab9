#!/bin/bash
#SBATCH --job-name=lr-sweep
#SBATCH --array=0-2
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --output=logs/%A_%a.out
LRS=(1e-5 3e-5 1e-4)
LR=${LRS[$SLURM_ARRAY_TASK_ID]}
source $HOME/envs/sweep/bin/activate
accelerate launch --mixed_precision bf16 train.py --learning_rate $LR --output_dir runs/lr_$LR
