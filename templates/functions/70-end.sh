# ---- end: records how an attempt ended and what comes next

# Find out how the attempt ended, record it, and continue the run or exit.
# sets: new_exclusions
end_attempt() {
  local cause next newer_attempt reason=
  trap 'note_signal TERM' TERM
  trap '' USR1
  if ! records_are_writable; then
    log_message "cannot write to $run_dir/events: the run folder was renamed or removed, or is read-only; the run ends here"
    exit_for_good 1
  fi
  retry_if_signalled set_cause
  if [ "$cause" = fenced ]; then
    newer_attempt=$(read_value attempt "$run_dir/current")
    log_message "attempt $attempt was replaced by attempt $newer_attempt; exiting without changing the run"
    exit 1
  fi
  [ "$cause" != crash ] || retry_if_signalled set_failed_code
  retry_if_signalled update_ledger "$attempt" "$cause"
  new_exclusions=
  retry_if_signalled blame_nodes "$cause"
  retry_if_signalled set_next
  retry_if_signalled record_end "$cause" "$next" "$reason"
  log_message "attempt $attempt ended: $cause; next: $next${reason:+ ($reason)}"
  [ "$next" != end ] || cancel_successors_of_this_attempt
  case $next:$cause in
    continue:* | by-slurm:*) continue_run "$cause" "$next" ;;
    end:finished) exit 0 ;;
    end:stop | end:cancel) exit_unfinished ;;
    *) exit_for_good $((step_exit ? step_exit : 1)) ;;
  esac
}

# At Slurm's TERM a successor may have been queued before the cause was known.
cancel_successors_of_this_attempt() {
  if [ -e "$run_dir/events/attempt-$attempt.successor" ] || [ -e "$run_dir/events/attempt-$attempt.smaller" ]; then
    cancel_other_jobs "$attempt"
  fi
}

# Without records nobody could decide on this attempt, or count it. A file server may be back in a moment.
records_are_writable() {
  local try signal_seen=''
  for try in 1 2 3; do
    [ ! -w "$run_dir/events" ] || return 0
    [ "$try" -eq 3 ] || sleep_until_signal 5
  done
  return 1
}

# retry_if_signalled COMMAND...: TERM also reaches the subshells of this shell, which then print nothing. Repeat what was
# being done when it came.
# sets: signal_seen
retry_if_signalled() {
  while :; do
    signal_seen=
    "$@"
    [ -n "$signal_seen" ] || return 0
  done
}

# sets: cause
set_cause() { cause=$(find_end_cause); }

# When a task has failed, Slurm kills those of the other nodes, and srun's exit code is often theirs (137).
# sets: step_exit
set_failed_code() {
  local code
  code=$(find_first_failed_code)
  step_exit=${code:-$step_exit}
}

# sets: next, reason
set_next() {
  local crashes idle unfit why hang_reason
  crashes=$(read_value crashes "$run_dir/ledger")
  idle=$(read_value idle "$run_dir/ledger")
  unfit=$(read_value unfit "$run_dir/ledger")
  next=$(decide_next "$cause" "$crashes" "$idle" "$requeue_on" "$max_crashes" "$unfit")
  [ "$next" != end ] || reason=$(explain_end "$cause")
  why=
  case $cause in
    bad-node | failed-start) why=$(find_unfit_node) ;;
  esac
  [ "$cause" != bad-node ] || [ -n "$why" ] || why=$(find_launch_failure)
  [ -z "$why" ] || reason=$why${reason:+; $reason}
  if [ "$cause" = hang ]; then
    hang_reason=$(read_value reason "$run_dir/events/attempt-$attempt.hang")
    reason=$hang_reason${reason:+; $reason}
  fi
  [ "$cause" != no-restart ] || reason=$(read_value reason "$run_dir/events/attempt-$attempt.trainer")
  ! training_refused_fewer_nodes || next=continue reason="${reason:+$reason; }the run waits for all its nodes"
}

# Whether this is a smaller job (requeue.shrink_to) and the training refused to start on fewer nodes. The job for all nodes
# was cancelled when this one started, so it is queued again.
training_refused_fewer_nodes() {
  [ "$cause" = no-restart ] && [ -n "${CLUSTERRUN_SMALLER:-}" ] && [ ! -e "$run_dir/metrics/attempt-$attempt.times" ]
}

# record_end CAUSE NEXT REASON [KEY=VALUE...]. While a signal is trapped, each substitution must be an assignment of its own: bash 5.2
# takes a trap during a command with other words or substitutions for a syntax error, and exits.
record_end() {
  local step now
  step=$(read_value step "$run_dir/progress")
  now=$(date +%s)
  write_record "$run_dir/events/attempt-$attempt.end" cause="$1" next="$2" exit_code="$step_exit" reason="$3" \
    step="$step" ended="$now" ${in_preparation:+started=no} "${@:4}"
}
