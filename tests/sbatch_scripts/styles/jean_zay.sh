#!/bin/bash
#SBATCH --job-name=pretrain
#SBATCH --account=abc@v100
#SBATCH --constraint=v100-32g
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=10
#SBATCH --hint=nomultithread
#SBATCH --time=20:00:00
#SBATCH --output=pretrain%j.out
#SBATCH --error=pretrain%j.err
cd ${SLURM_SUBMIT_DIR}
module purge
module load pytorch-gpu/py3/2.2.0
set -x
srun python -u train.py --epochs 10 --batch-size 64
