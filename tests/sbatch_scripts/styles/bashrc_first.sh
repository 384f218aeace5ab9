#!/bin/bash
#SBATCH --job-name=sft
#SBATCH --gpus=1
#SBATCH --time=01:00:00
source ~/.bashrc
conda activate env1
accelerate launch train.py --model gpt2
