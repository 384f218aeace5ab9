"""The commands as Python functions: each has the name of its command."""
