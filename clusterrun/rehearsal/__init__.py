"""The parts of a rehearsal: its plan, the interruption, what was seen, and the verdict."""
