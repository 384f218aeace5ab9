#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=05:00:00
set -euo pipefail
mkdir -p runs/$SLURM_JOB_NAME
tar -xf data.tar -C /tmp
source ~/venv/bin/activate
python train.py --data /tmp/data --out runs/$SLURM_JOB_NAME
cp -r runs /project/results
