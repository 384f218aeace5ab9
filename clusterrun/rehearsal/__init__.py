"""The parts of a rehearsal: what is asked of a run, what is done to it, what is seen of it, and what that proves."""
