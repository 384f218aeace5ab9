#!/bin/bash
###############################################
#  A template as computing centres hand it out
###############################################
#SBATCH   --job-name  resnet
#SBATCH   -A  project-42
#SBATCH   -p  main
#SBATCH   -N  1
#SBATCH   --ntasks-per-node=4      ## as many as GPUs
#SBATCH   --gres=gpu:4
#SBATCH   -c  2
#SBATCH   -t  0-12:00:00
#SBATCH   -o  slurm.%N.%j.out      # STDOUT
#SBATCH   -e  slurm.%N.%j.err      # STDERR
##SBATCH  --reservation=workshop

module purge
module use /apps/modules
module load python/3.11 cuda
conda activate /proj/envs/torch
ulimit -n 4096
export MASTER_PORT=12340
export WORLD_SIZE=$(($SLURM_NNODES * $SLURM_NTASKS_PER_NODE))
master_addr=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR=$master_addr

#SBATCH --mem=64G
srun python train.py --net resnet50 --data /proj/imagenet
cp -r checkpoints /proj/results
