"""Estimates of the GPU memory that a run needs, computed before it is queued and without torch."""
