#!/bin/bash
#SBATCH --job-name=secrets
#SBATCH --cpus-per-task=1
#SBATCH --time=10
#SBATCH --output=secrets-%j.out

TOKEN=hf_anotherTokenOnlyForTests99887766
wandb login 89abcdef0123456789abcdef0123456789abcdef
huggingface-cli login --token $TOKEN
export OPENAI_API_KEY='sk-onlyForTests-0123456789abcdef'
export REGISTRY_PASSWORD=correct-horse
python train.py --hub_token $TOKEN --push --password correct-horse
