#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH --time=2:00:00
cat > accel.yaml <<EOF
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
mixed_precision: bf16
num_processes: 4
fsdp_config:
  fsdp_sharding_strategy: FULL_SHARD
EOF
accelerate launch --config_file accel.yaml train.py --epochs 1
