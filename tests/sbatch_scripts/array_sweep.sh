#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=0-3%2
#SBATCH --output=sweep_%A_%a.out
#SBATCH --cpus-per-task=1
#SBATCH --time=00:10:00

LEARNING_RATES=(1e-5 3e-5 1e-4 3e-4)
LR=${LEARNING_RATES[$SLURM_ARRAY_TASK_ID]}

python train.py --lr $LR --seed ${SLURM_ARRAY_TASK_ID}
