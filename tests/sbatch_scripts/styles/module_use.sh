#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH --time=10:00:00
module use /project/modules
module load LUMI/23.09 partition/G
module load pytorch/2.2
export MIOPEN_USER_DB_PATH=/tmp/miopen
accelerate launch --num_processes 4 train.py --bf16
