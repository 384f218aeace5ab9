"""Hand a script to Slurm exactly once, and resume what has stopped."""
