# ---- end: how an attempt ended and what comes next, written down

# How it ended decides what comes next.
# sets: newly_excluded
end_attempt() {
  local cause next newer reason=
  trap 'note_signal TERM' TERM
  trap '' USR1
  retry_if_signalled set_cause
  if [ "$cause" = fenced ]; then
    newer=$(value attempt "$run_dir/current")
    say "attempt $attempt was replaced by attempt $newer; exiting without changing the run"
    exit 1
  fi
  retry_if_signalled update_ledger "$attempt" "$cause"
  newly_excluded=
  retry_if_signalled blame_nodes "$cause"
  retry_if_signalled set_next
  retry_if_signalled end_record "$cause" "$next" "$reason"
  say "attempt $attempt ended: $cause; next: $next${reason:+ ($reason)}"
  case $next:$cause in
    continue:* | by-slurm:*) continue_run "$cause" "$next" ;;
    end:finished | end:stop) exit 0 ;;
    *) exit_for_good $((step_exit ? step_exit : 1)) ;;
  esac
}

# TERM to this shell reaches its subshells, too, and they say nothing then. What was done while it came is done again.
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

# sets: next, reason
set_next() {
  local crashes idle hung
  crashes=$(value crashes "$run_dir/ledger")
  idle=$(value idle "$run_dir/ledger")
  next=$(decide "$cause" "$crashes" "$idle" "$requeue_on" "$most_crashes")
  [ "$next" != end ] || reason=$(explain_end "$cause")
  case $cause in
    bad-node | failed-start) reason=$(find_unfit_node) ;;
  esac
  [ "$cause" != bad-node ] || [ -n "$reason" ] || reason=$(find_launch_failure)
  if [ "$cause" = hang ]; then
    hung=$(value reason "$run_dir/events/attempt-$attempt.hang")
    reason=$hung${reason:+; $reason}
  fi
  [ "$cause" != no-restart ] || reason=$(value reason "$run_dir/events/attempt-$attempt.trainer")
}

# While a signal is trapped, a substitution stands alone, in an assignment: a trap amid a command that has others, or
# other words, is a syntax error to bash 5.2, which ends the whole script.
end_record() {
  local step now
  step=$(value step "$run_dir/progress")
  now=$(date +%s)
  record "$run_dir/events/attempt-$attempt.end" cause="$1" next="$2" exit_code="$step_exit" reason="$3" \
    step="$step" ended="$now" ${preparing:+started=no}
}
