"""Stopping at the same step on all ranks."""
