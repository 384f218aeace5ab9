# The training processes look for the stop file: there is no checkpoint.signal.
signal_trainers() { :; }
