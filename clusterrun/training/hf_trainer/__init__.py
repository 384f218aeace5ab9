"""The parts of `clusterrun.training.trainer`, the support for `transformers.Trainer`."""
