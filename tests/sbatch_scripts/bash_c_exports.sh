#!/bin/bash
#SBATCH --job-name=per-node
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=10
#SBATCH --output=per-node-%j.out
#SBATCH --export=ALL,DATASET=tiny

export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=29500

srun --kill-on-bad-exit=1 -c 2 bash -c "
  export NODE_RANK=\$SLURM_NODEID
  export OMP_NUM_THREADS=1
  torchrun --nnodes=$SLURM_NNODES --nproc-per-node=2 --node-rank=\$NODE_RANK \
    --master-addr=$MASTER_ADDR --master-port=$MASTER_PORT \
    train.py --steps 20 --tag \"x y\"
"
