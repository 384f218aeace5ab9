"""Sweeps: the `sweep` section of a spec becomes the members of one job array."""
