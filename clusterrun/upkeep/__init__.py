"""Remove what is old, and test notifications."""
