#!/bin/bash
#SBATCH --job-name=eval-seeds
#SBATCH --array=0-9
#SBATCH --gres=gpu:1
#SBATCH --time=02:00:00
ID=$SLURM_ARRAY_TASK_ID
python eval.py --seed $((ID * 10)) --fold $((ID % 5))
