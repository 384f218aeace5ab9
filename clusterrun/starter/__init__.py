"""`init`: a first job spec, for a training script or from an old sbatch script."""
