#!/usr/bin/env bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=1
#SBATCH --time=1-0
set -euo pipefail
setup() {
  module load cuda/12.4 nccl
  source "$HOME/envs/train/bin/activate"
}
train() {
  srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint "$1:29400" train.py --epochs "$2"
}
main() {
  setup
  local head
  head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
  train "$head" 3
}
main "$@"
