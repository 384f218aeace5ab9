"""What a run needs of each GPU's memory, before it is queued: functions from sizes to bytes, and no torch."""
