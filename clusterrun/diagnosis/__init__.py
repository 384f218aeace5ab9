"""Why a run is pending or has stopped, and what comes next."""

from clusterrun.diagnosis.answer import Why
from clusterrun.diagnosis.run_diagnosis import why

__all__ = ["Why", "why"]
