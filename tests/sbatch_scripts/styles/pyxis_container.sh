#!/bin/bash
#SBATCH --job-name=nemo
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
export NCCL_DEBUG=WARN
srun --container-image=/images/pt.sqsh --container-mounts=/data:/data --container-workdir=/w accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --machine_rank $SLURM_NODEID train.py
