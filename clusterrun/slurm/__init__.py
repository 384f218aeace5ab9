"""Everything that depends on Slurm's commands, states and submitit."""
