"""An sbatch script that somebody wrote by hand, read without running it: what it asks for, prepares and starts."""
