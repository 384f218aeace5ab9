#!/bin/bash
#SBATCH -N 2
#SBATCH --gpus-per-node=2
srun bash -c 'accelerate launch --num_machines 2 --machine_rank $SLURM_NODEID train.py --stage 1'
srun bash -c 'accelerate launch --num_machines 2 --machine_rank $SLURM_NODEID train.py --stage 2'
