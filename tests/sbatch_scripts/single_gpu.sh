#!/bin/bash
#SBATCH --job-name=finetune
#SBATCH --partition=main --gres=gpu:1
#SBATCH --cpus-per-task=4 --mem=2G
#SBATCH --time=0-02:00
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=alice@example.org
#SBATCH --output=%x_%j.log

set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
export HF_HOME="$SCRATCH/hf"
export TOKENIZERS_PARALLELISM=false
mkdir -p out

python train.py \
    --data "$SCRATCH/data set" \
    --workers $SLURM_CPUS_PER_TASK \
    --out out/finetuned
