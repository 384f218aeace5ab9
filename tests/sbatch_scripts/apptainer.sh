#!/bin/bash
#SBATCH --job-name=container
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=2
#SBATCH --time=1:00:00
#SBATCH --output=c-%j.out

IMAGE=/images/pytorch.sif
export APPTAINERENV_HF_HOME=/cache/hf
srun apptainer exec --nv --bind $PWD:/project $IMAGE python /project/train.py --epochs 2
