"""The page that `clusterrun report --html` writes: one file, with no need of a network."""
