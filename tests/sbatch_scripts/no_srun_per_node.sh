#!/bin/bash
#SBATCH --job-name=forgot_srun
#SBATCH --nodes=2
#SBATCH --gpus=8
#SBATCH --mem=4G
#SBATCH --time=12:00
#SBATCH --output=logs/%j.out
#SBATCH --requeue

conda activate train
accelerate launch --num_machines 2 --num_processes 4 --machine_rank 0 --main_process_ip n1 \
    --main_process_port 29501 --gradient_accumulation_steps 8 train.py --seed 42
