"""The output of runs, with the rank and node that wrote each line."""
