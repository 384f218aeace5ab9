# No notifications are sent: the spec has no notify.
notify_at_exit() { :; }
