"""Resuming with another number of processes."""
