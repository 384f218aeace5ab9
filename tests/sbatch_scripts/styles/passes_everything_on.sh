#!/bin/bash
#SBATCH --gpus=4
#SBATCH --time=01:00:00
accelerate launch --num_processes 4 "$@"
