#!/bin/bash
# Two nodes, one launcher a node, in the style of accelerate's own examples.
#SBATCH --job-name=multinode
#SBATCH -D .
#SBATCH --output=O-%x.%j
#SBATCH --error=E-%x.%j
#SBATCH --nodes=2                   # number of nodes
#SBATCH --ntasks-per-node=1         # one launcher each
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=4
#SBATCH --time=00:20:00

export GPUS_PER_NODE=4
export OMP_NUM_THREADS=2
head_node_ip=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)

export LAUNCHER="accelerate launch \
    --num_processes $((SLURM_NNODES * GPUS_PER_NODE)) \
    --num_machines $SLURM_NNODES \
    --rdzv_backend c10d \
    --main_process_ip $head_node_ip \
    --main_process_port 29500 \
    "
export SCRIPT="train.py"
export SCRIPT_ARGS=" \
    --mixed_precision fp16 \
    --output_dir out/model \
    --with_tracking \
    "

# this step runs on all nodes
export CMD="$LAUNCHER $SCRIPT $SCRIPT_ARGS"
srun $CMD
