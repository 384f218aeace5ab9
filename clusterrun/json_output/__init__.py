"""The types of what commands print with `--json`, and their JSON Schemas."""
