"""Proof of a translation: what both scripts would start is recorded and compared."""
