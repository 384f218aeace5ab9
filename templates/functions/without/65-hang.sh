# Hangs are not detected: hang is off.
watch_for_hang() { :; }
follow_orders() { :; }
