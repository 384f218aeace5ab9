# The run continues only in the same job: requeue.by is requeue, or this is a task of an array.
needs_successor() { return 1; }
hand_over_to_successor() { :; }
queue_successor() { return 1; }
repoint_dependents() { :; }
