# No smaller job is queued: the spec sets no requeue.shrink_to.
queue_smaller_job() { :; }
cancel_other_jobs() { :; }
exit_if_smaller_job_is_obsolete() { :; }
is_smaller_job() { return 1; }
