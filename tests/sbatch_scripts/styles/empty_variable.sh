#!/bin/bash
#SBATCH --gres=gpu:2
#SBATCH --time=03:00:00
# VERBOSE="--verbose"
A=1e-4
B="--epochs 3"
ARGS="--lr $A \
  $B"
accelerate launch --num_processes 2 train.py $VERBOSE $ARGS
