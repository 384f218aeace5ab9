"""Where a run's time went, and its curves."""
