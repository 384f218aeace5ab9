#!/bin/bash
#SBATCH --job-name=hostfile
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --time=30:00
#SBATCH --output=hostfile-%j.out

cat > ds_config_$SLURM_JOB_ID.json <<END
{
  "train_micro_batch_size_per_gpu": "auto",
  "zero_optimization": {"stage": 2}
}
END
scontrol show hostnames $SLURM_JOB_NODELIST > machines.txt
sed -i 's/$/ slots=2/' machines.txt
accelerate launch --use_deepspeed --deepspeed_hostfile machines.txt --deepspeed_config_file ds.json \
  --num_machines 2 --num_processes 4 --main_process_port 29500 train.py --steps 100
