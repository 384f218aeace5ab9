#!/bin/bash
#SBATCH --job-name=ds
#SBATCH --nodes=1
#SBATCH --gres=gpu:a100:4
#SBATCH --cpus-per-gpu=2
#SBATCH --mem-per-gpu=1G
#SBATCH --time=2-00
#SBATCH --no-requeue
#SBATCH --output=ds-%j.out

module purge
module load anaconda/2024.06 cuda/12.4
conda activate ds
export NCCL_DEBUG=INFO

deepspeed --num_gpus 4 --master_port=29600 train.py --deepspeed configs/ds.json --bf16 --batch 4
