#!/bin/bash
#SBATCH -N 2
#SBATCH --gpus-per-node=2
#SBATCH --ntasks-per-node=2
export WORLD_SIZE=4
srun singularity exec img.sif bash -c 'RANK=$SLURM_PROCID python train.py'
