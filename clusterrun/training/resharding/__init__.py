"""Continue with another number of processes."""
