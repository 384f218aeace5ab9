#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --time=01:00:00
export MAX_NEW_TOKENS=512
export NUM_TOKENS=1000
export TOKENIZERS_PARALLELISM=false
accelerate launch train.py --max_new_tokens $MAX_NEW_TOKENS --tokens $NUM_TOKENS
