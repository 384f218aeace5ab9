"""Submit a script to Slurm exactly once, and resume and requeue runs."""
