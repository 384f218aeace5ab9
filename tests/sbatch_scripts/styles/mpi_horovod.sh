#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --time=2:00:00
module load openmpi/4.1
mpirun -np 8 --map-by ppr:4:node python train.py --horovod
