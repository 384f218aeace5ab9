"""The parts of a rehearsal: its plan, the interruption, the observation, and the verdict."""
