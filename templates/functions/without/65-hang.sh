# Nobody watches for a hang: hang is off.
watch_for_hang() { :; }
follow_orders() { :; }
