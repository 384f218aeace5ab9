"""How answers look: as text, as tables, as JSON."""
