#!/bin/bash
#SBATCH --job-name=ft
#SBATCH --gres=gpu:a100:2
#SBATCH --time=08:00:00
source /scratch/me/miniconda3/etc/profile.d/conda.sh
conda activate env1
accelerate launch --num_processes 2 finetune.py --epochs 2
