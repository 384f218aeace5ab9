#!/bin/bash
#SBATCH -N 3
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=1
if [ "$USE_SERVER" = 1 ]; then
  srun --nodes=1 --ntasks=1 vllm serve model &
fi
srun --nodes=2 --ntasks=2 accelerate launch --num_machines 2 --num_processes 8 train.py
