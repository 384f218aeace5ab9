#!/bin/bash
#SBATCH -J llama
#SBATCH -N 2
#SBATCH --exclusive
#SBATCH -p gh
#SBATCH -t 24:00:00
#SBATCH -o logs/%x-%j.out
module load gcc cuda
source $HOME/venvs/ft/bin/activate
MAIN=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)
srun accelerate launch --multi_gpu --num_machines 2 --num_processes 8 --machine_rank \$SLURM_NODEID --main_process_ip $MAIN --main_process_port 29500 train.py --bf16
