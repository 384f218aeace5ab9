"""How a user begins: a first job spec, for a script or from an old sbatch script."""
