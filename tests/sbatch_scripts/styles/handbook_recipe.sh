#!/bin/bash
#SBATCH --job-name=open_r1
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --time=3-00:00:00
set -x -e
MODEL=$1
ACCELERATOR=$2
srun accelerate launch --config_file recipes/accelerate_configs/$ACCELERATOR.yaml src/sft.py --config recipes/$MODEL/sft.yaml
