"""What a run needs of each GPU's memory, computed before it is queued, without torch."""
