"""The files of runs: paths, records, attempts, and the index of runs."""
