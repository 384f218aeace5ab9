#!/bin/bash
#SBATCH --gpus-per-node=2
#SBATCH --time=10:00:00
export WANDB_PROJECT=demo
OMP_NUM_THREADS=4 CUDA_DEVICE_MAX_CONNECTIONS=1 torchrun --nproc_per_node 2 train.py --seed 7
