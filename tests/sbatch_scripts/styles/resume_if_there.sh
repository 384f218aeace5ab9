#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH --time=2:00:00
#SBATCH --requeue
OUT=/scratch/me/run7
RESUME=""
if [ -d "$OUT/last" ]; then
  RESUME="--resume_from_checkpoint $OUT/last"
fi
source venv/bin/activate
accelerate launch --num_processes 4 train.py --output_dir $OUT $RESUME
