"""`doctor`: what this cluster allows, what of it stands in a run's way, and what to do about it."""

from clusterrun.site_checks.examination import doctor

__all__ = ["doctor"]
