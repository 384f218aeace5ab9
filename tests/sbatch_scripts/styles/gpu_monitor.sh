#!/bin/bash
#SBATCH --gres=gpu:2
#SBATCH --time=02:00:00
./monitor.sh --interval 30 > gpu.log &
MONITOR=$!
accelerate launch --num_processes 2 train.py
kill $MONITOR
