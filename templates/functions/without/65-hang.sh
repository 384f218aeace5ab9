# Nobody watches for a hang: hang is off.
watch_the_step() { :; }
obey() { :; }
