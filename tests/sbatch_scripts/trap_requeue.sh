#!/bin/bash
#SBATCH --job-name=requeues
#SBATCH --cpus-per-task=2
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=requeues.out

handler() {
  echo "time is nearly up"
  scontrol requeue $SLURM_JOB_ID
}
trap handler SIGUSR1

source activate torch
accelerate launch --cpu --num_processes 2 --num_cpu_threads_per_process 1 train.py --resume auto
