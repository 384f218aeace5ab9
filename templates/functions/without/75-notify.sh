# Nobody is notified: the spec has no notify.
tell_people() { :; }
