#!/bin/bash
#SBATCH --job-name=loop
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --time=20
#SBATCH --output=loop-%j.out

nodes=($(scontrol show hostnames $SLURM_JOB_NODELIST))
for i in "${!nodes[@]}"; do
  srun --nodes=1 --ntasks=1 -w "${nodes[$i]}" python -m torch.distributed.launch --use_env \
    --nnodes=2 --nproc_per_node=2 --node_rank=$i --master_addr=${nodes[0]} --master_port=29500 \
    train.py --epochs 5 &
done
