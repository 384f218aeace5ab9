#!/bin/bash
#SBATCH --job-name=requeues-well
#SBATCH --cpus-per-task=2
#SBATCH --time=00:30:00
#SBATCH --signal=USR1@90
#SBATCH --requeue
#SBATCH --output=well-%j.out
set -e
source $HOME/venv/bin/activate
trap 'scontrol requeue $SLURM_JOB_ID' USR1
srun -c 2 python train.py --steps 1000 &
wait
