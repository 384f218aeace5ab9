#!/bin/bash -l
#SBATCH --nodes=2
#SBATCH --gres=gpu:4
#SBATCH --ntasks-per-node=4
#SBATCH --mem=0
#SBATCH --time=0-02:00:00
source activate lightning
export NCCL_SOCKET_IFNAME=ib0
srun python3 lit.py fit --trainer.num_nodes 2 --trainer.devices 4
