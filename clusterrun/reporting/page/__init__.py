"""The page of `clusterrun report --html`: one file that loads nothing."""
