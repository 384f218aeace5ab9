#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=1
#SBATCH --time=06:00:00
module load openmpi
source .venv/bin/activate
scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/$/ slots=4/' > hostfile
deepspeed --hostfile hostfile --master_port 29501 train.py --deepspeed ds.json --epochs 1
