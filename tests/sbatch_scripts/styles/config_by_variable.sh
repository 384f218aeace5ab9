#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH --time=2:00:00
GA=${GA:-8}
accelerate launch --config_file configs/$CFG.yaml --gradient_accumulation_steps $GA train.py --epochs 1
