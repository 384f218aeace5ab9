"""Remove old runs and checkpoints, and test notifications."""
