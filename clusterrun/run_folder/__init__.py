"""What lies on disk: the paths, records, attempts and index of runs."""
