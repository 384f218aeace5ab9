"""`doctor`: what this cluster allows, what would keep runs from working, and how to fix it."""

from clusterrun.site_checks.examination import doctor

__all__ = ["doctor"]
