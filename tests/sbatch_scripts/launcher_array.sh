#!/bin/bash
#SBATCH --job-name=arrays_of_words
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=15
#SBATCH --output=words-%j.out
set -euo pipefail

RUN_NAME=${RUN_NAME:-baseline}
OUTPUT=out/$RUN_NAME
LAUNCHER=(accelerate launch --num_machines "$SLURM_NNODES" --num_processes 4
          --main_process_ip "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
          --main_process_port $((29000 + SLURM_JOB_ID % 1000)) --rdzv_backend c10d)
ARGS=(
  --output_dir "$OUTPUT"
  --prompt "It's a \"test\" of \$quotes"
  --betas 0.9 0.95
)
ARGS+=(--fp16)
export OMP_NUM_THREADS=1
srun --cpus-per-task=2 --kill-on-bad-exit=1 "${LAUNCHER[@]}" train.py "${ARGS[@]}"
