#!/bin/bash
#SBATCH -J sft-llama
#SBATCH -N 2
#SBATCH -p main
#SBATCH --gpus-per-node=2
#SBATCH --ntasks-per-node=2
#SBATCH -c 2
#SBATCH -t 24
#SBATCH -o train.log

export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567
export HF_TOKEN="hf_thisTokenIsOnlyForTests0123456789"
export MASTER_ADDR=$(hostname -i)
export MASTER_PORT=29500

module load cuda/12.4
source venv/bin/activate
module load gcc/12

srun accelerate launch \
  --multi_gpu \
  --num_machines 2 \
  --num_processes 2 \
  --machine_rank $SLURM_NODEID \
  --main_process_ip $MASTER_ADDR \
  --main_process_port $MASTER_PORT \
  --mixed_precision=bf16 \
  train.py --epochs 3 --lr=2e-5 --name 'a run of mine'
