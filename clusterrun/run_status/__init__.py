"""The status of runs, from their files and from Slurm."""
