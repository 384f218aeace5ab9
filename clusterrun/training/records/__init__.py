"""What a training writes for those who watch it."""
