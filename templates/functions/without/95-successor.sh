# The run continues in the same job only: requeue.by is requeue, or this is a task of an array.
wants_successor() { return 1; }
succeed() { :; }
queue_successor() { return 1; }
