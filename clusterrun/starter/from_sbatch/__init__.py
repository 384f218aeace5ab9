"""Reading of a hand-written sbatch script: what it requests, prepares and starts; it is not run."""
