#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --time=01:00:00
export HF_HOME=/scratch/hf
export GIT_REMOTE=https://oauth2:glpat-0123456789abcdefghij@gitlab.example.org/me/x.git
export DB_URL=postgres://tracker:s3cretpw@db.example.org/mlflow
huggingface-cli login --token hf_thisTokenIsOnlyForTests0123456789
accelerate launch train.py --hub_token hf_thisTokenIsOnlyForTests0123456789 --wandb_key=0123456789abcdef0123456789abcdef01234567 --epochs 1
