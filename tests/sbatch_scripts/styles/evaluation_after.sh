#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH --time=10:00:00
module load cuda
source venv/bin/activate
accelerate launch --num_processes 4 train.py --output_dir out
python evaluate.py --model out
