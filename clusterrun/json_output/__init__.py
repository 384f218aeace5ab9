"""The shape of what commands print with `--json`, and its JSON Schemas."""
