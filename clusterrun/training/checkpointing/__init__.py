"""Checkpoints on disk: saved by all ranks, complete or absent, and found again."""
