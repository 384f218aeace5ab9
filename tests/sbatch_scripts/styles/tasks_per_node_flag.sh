#!/bin/bash
#SBATCH --nodes=2
#SBATCH --tasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --time=2:00:00
srun accelerate launch --multi_gpu --num_machines 2 --num_processes 8 --machine_rank $SLURM_PROCID --main_process_ip $SLURM_LAUNCH_NODE_IPADDR train.py
