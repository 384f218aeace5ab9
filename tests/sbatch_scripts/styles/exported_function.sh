#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=1
#SBATCH --time=12:00:00
prepare() {
  export HF_HUB_OFFLINE=1
  source /project/envs/llm/bin/activate
}
export -f prepare
srun bash -c 'prepare; accelerate launch --num_machines 2 --num_processes 8 --machine_rank $SLURM_NODEID train.py data=[a,b] seed=1'
