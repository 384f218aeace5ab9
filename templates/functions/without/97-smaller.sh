# No smaller job is queued: the spec sets no requeue.shrink_to.
queue_smaller_job() { :; }
