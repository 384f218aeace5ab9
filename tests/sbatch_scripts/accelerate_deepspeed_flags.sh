#!/usr/bin/env bash
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --job-name="zero 3 / offload"
#SBATCH --time=1-12:00:00
#SBATCH --output=%j.log
set -e
. ~/miniconda3/etc/profile.d/conda.sh
conda activate llm
srun --cpus-per-task=8 --kill-on-bad-exit accelerate launch --use_deepspeed --zero_stage 3 --offload_optimizer_device=cpu \
     --offload_param_device cpu --zero3_init_flag true --gradient_accumulation_steps 4 --mixed_precision bf16 \
     --num_processes 4 -m llm.train --config recipes/llama.yaml --max_steps=-1
