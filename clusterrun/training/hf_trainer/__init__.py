"""The parts of `clusterrun.training.trainer`, for `transformers.Trainer`."""
