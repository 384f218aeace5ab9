"""What runs print: reading it, and finding out who wrote a line."""
