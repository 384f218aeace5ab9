#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --time=03:00:00
TMP=$(mktemp -d)
cp -r data $TMP
python train.py --data $TMP/data --cache $TMP/cache
