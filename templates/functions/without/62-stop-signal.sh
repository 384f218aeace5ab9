# The training processes check for the stop file: the spec sets no checkpoint.signal.
signal_training_processes() { :; }
