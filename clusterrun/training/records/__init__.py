"""The records that training writes for observers."""
