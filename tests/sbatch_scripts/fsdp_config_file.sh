#!/bin/bash
#SBATCH --job-name=fsdp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --exclusive
#SBATCH --constraint=big
#SBATCH --time=08:00:00
#SBATCH --output=fsdp-%j.out
#SBATCH --requeue

CONFIG=configs/fsdp.yaml
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
export NCCL_SOCKET_IFNAME=ib0

srun --cpus-per-task=$SLURM_CPUS_PER_TASK bash -c 'accelerate launch \
    --config_file configs/fsdp.yaml \
    --num_machines $SLURM_NNODES \
    --machine_rank $SLURM_NODEID \
    --main_process_ip $MASTER_ADDR \
    --main_process_port $MASTER_PORT \
    train.py --size large --bf16'
