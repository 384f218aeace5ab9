#!/bin/bash
#SBATCH --account=a-x
#SBATCH --nodes=1
#SBATCH --time=01:30:00
srun --environment=pytorch bash -c 'torchrun --nproc_per_node=4 train.py --steps 100'
