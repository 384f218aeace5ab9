"""The output of runs, and the rank and node that wrote a line."""
