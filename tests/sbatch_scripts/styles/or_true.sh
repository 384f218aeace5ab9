#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --time=01:00:00
module load cuda/12.1 || true
[ -r data/train.json ] || { echo "no data"; exit 1; }
source venv/bin/activate
python train.py --data data/train.json
