# Nobody is notified: the spec has no notify.
notify_at_exit() { :; }
