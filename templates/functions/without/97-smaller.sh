# No smaller job is queued: there is no requeue.shrink_to.
offer_smaller() { :; }
take_back_others() { :; }
leave_if_too_late() { :; }
is_smaller() { return 1; }
