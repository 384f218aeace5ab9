#!/bin/bash
#SBATCH -J hydra
#SBATCH -N 2
#SBATCH --gpus-per-node=4
#SBATCH -t 1-00:00:00
module load cuda/12.4
source venv/bin/activate
export HYDRA_FULL_ERROR=1
srun accelerate launch --multi_gpu --num_machines 2 --num_processes 8 --machine_rank $SLURM_NODEID train.py model=llama data.sets=[c4,wiki] "optim.betas=[0.9, 0.95]" +trainer.epochs=3
