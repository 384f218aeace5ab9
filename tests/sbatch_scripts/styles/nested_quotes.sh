#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=20
PROMPT="it's a \"test\""
srun bash -c "accelerate launch --num_machines 2 --num_processes 2 --machine_rank \$SLURM_NODEID train.py --prompt \"$PROMPT\" --dir 'a b'"
