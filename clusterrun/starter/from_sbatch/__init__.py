"""A hand-written sbatch script, read without running it: what it requests, prepares and starts."""
