"""The user's training script as text: read and parsed once, never imported or run."""

from clusterrun.training_script.reading import read_script
from clusterrun.training_script.script import TrainingScript

__all__ = ["TrainingScript", "read_script"]
