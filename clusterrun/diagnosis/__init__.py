"""Why a run does not start, why it stopped, and what comes next; the tables: `reasons`, `failures`, `causes`."""

from clusterrun.diagnosis.answer import Why
from clusterrun.diagnosis.ask import why

__all__ = ["Why", "why"]
