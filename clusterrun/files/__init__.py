"""Files of users and of runs, read so that no file can stop or flood a command."""
