"""How a run is: from its files and from Slurm, now and for all runs."""
