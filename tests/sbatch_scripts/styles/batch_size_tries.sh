#!/bin/bash
#SBATCH --gres=gpu:4
#SBATCH --time=10:00:00
for bs in 64 32 16; do
  accelerate launch --num_processes 4 train.py --batch_size $bs && break
done
