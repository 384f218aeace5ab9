"""The only place that knows Slurm's commands, states and submitit."""
