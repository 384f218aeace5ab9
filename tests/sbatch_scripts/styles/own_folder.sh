#!/bin/bash
#SBATCH --gpus-per-node=1
#SBATCH --time=2:00:00
cd "$(dirname "$0")"
source venv/bin/activate
accelerate launch train.py
