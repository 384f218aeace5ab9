# ---- the end of an attempt

# How it ended decides what comes next.
end_attempt() {
  local cause next newer reason=
  trap 'hear TERM' TERM
  trap '' USR1
  undisturbed find_cause
  if [ "$cause" = fenced ]; then
    newer=$(value attempt "$run_dir/current")
    say "attempt $attempt was replaced by attempt $newer; it leaves the run alone"
    exit 1
  fi
  undisturbed keep_ledger "$attempt" "$cause"
  newly_excluded=
  undisturbed blame_nodes "$cause"
  undisturbed find_next
  undisturbed end_record "$cause" "$next" "$reason"
  say "attempt $attempt ended: $cause; next: $next${reason:+ ($reason)}"
  case $next:$cause in
    continue:* | by-slurm:*) go_on "$cause" "$next" ;;
    end:finished | end:stop) exit 0 ;;
    *) leave_for_good $((step_exit ? step_exit : 1)) ;;
  esac
}

# TERM to this shell reaches its subshells, too, and they say nothing then. What was done while it came is done again.
undisturbed() {
  while :; do
    heard=
    "$@"
    [ -n "$heard" ] || return 0
  done
}

find_cause() { cause=$(why_ended); }

find_next() {
  local crashes idle hung
  crashes=$(value crashes "$run_dir/ledger")
  idle=$(value idle "$run_dir/ledger")
  next=$(decide "$cause" "$crashes" "$idle" "$requeue_on" "$most_crashes")
  [ "$next" != end ] || reason=$(why_no_more "$cause")
  case $cause in
    bad-node | failed-start) reason=$(first_unfit) ;;
  esac
  [ "$cause" != bad-node ] || [ -n "$reason" ] || reason=$(launch_failure)
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

# First what the trainer says itself, then what the batch shell was told by Slurm, then how the nodes' tasks ended. A
# word of Slurm's on the step counts where no task has failed by itself, and a node's failure always: it fails the others.
why_ended() {
  local outcome killed order asked refused
  outcome=$(value outcome "$run_dir/events/attempt-$attempt.trainer")
  killed=$(cause_of_the_step)
  order=$(value order "$run_dir/events/attempt-$attempt.hang")
  asked=$(first_asked)
  refused=$(launch_failure)
  if [ "$outcome" = finished ] || [ "$outcome" = no-restart ]; then
    echo "$outcome"
  elif [ "$outcome" = trained ] && all_ended_well; then
    echo finished
  elif replaced; then
    echo fenced
  elif [ -n "$batch_heard" ]; then
    why_killed
  elif [ -n "$killed" ] && { [ "$killed" = node-failure ] || ! a_task_failed; }; then
    echo "$killed"
  elif [ "$outcome" = stopped ]; then
    why_asked
  elif [ "$order" = end ]; then
    if all_ended_well; then echo finished; else echo hang; fi
  elif grep -qa 'srun: error: Node failure on ' "$run_dir/logs/attempt-$attempt.log"; then
    echo node-failure  # srun's exit code is 0 then
  elif [ "$step_exit" -eq 0 ]; then
    if [ -n "$asked" ]; then
      why_asked
    elif all_ended_well; then
      echo finished
    else
      echo node-failure
    fi
  elif none_fits; then
    echo failed-start
  elif [ -n "$refused" ]; then
    echo bad-node
  elif grep -qs '^check=.' "$run_dir/events/attempt-$attempt".node-*; then
    echo bad-node
  elif may_not_restart; then
    echo no-restart
  elif crashed; then
    echo crash
  else
    why_asked
  fi
}

# Where srun could not start a node's task, in its words; nothing else. A node that has just been rebooted refuses so.
launch_failure() {
  sed -n 's/.*srun: error: Task launch for .* failed on node \(.*\)/the launch failed on \1/p' \
    "$run_dir/logs/attempt-$attempt.log" 2>/dev/null | head -n 1
}

# Whether every node's task has left word that it ended with 0.
all_ended_well() {
  local node code
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    code=$(value exit_code "$run_dir/events/attempt-$attempt.node-$node")
    [ "$code" = 0 ] || return 1
  done
}

# The first reason that any node has for the stop; nothing where none was asked for.
first_asked() { cat "$run_dir/events/attempt-$attempt".node-* 2>/dev/null | sed -n 's/^asked=\(..*\)/\1/p' | head -n 1; }

# What was the stop for? A warning that comes long before the time limit is a preemption's.
why_asked() {
  local asked now
  asked=$(first_asked)
  now=$(date +%s)
  if [ -s "$run_dir/stop" ]; then
    echo stop
  elif [ -e "$run_dir/requeue" ]; then
    echo requeue
  elif [ "$asked" = time-limit ]; then
    echo time-limit
  elif [ "$asked" = USR1 ] && { [ -z "${job_ends:-}" ] || [ "$now" -ge $((job_ends - ${signal_lead:-0} - 120)) ]; }; then
    echo time-limit
  else
    echo preemption
  fi
}

# Whether a node has recorded that its task failed by itself: nobody had asked it to stop, and no other node's had failed.
a_task_failed() {
  local file code asked followed
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(value exit_code "$file")
    asked=$(value asked "$file")
    followed=$(value followed "$file")
    [ "${code:-0}" -ne 0 ] && [ -z "$asked$followed" ] && return 0
  done
  return 1
}

# A node's task that ended badly before it was asked to stop, or one that left no word.
crashed() {
  local node file code asked
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    file=$run_dir/events/attempt-$attempt.node-$node
    code=$(value exit_code "$file")
    asked=$(value asked "$file")
    [ -z "$asked" ] && [ "$code" != 0 ] && return 0
  done
  return 1
}

# A trainer's exit code 93 means: do not start me again. Launchers keep it to themselves, but say it in the log.
may_not_restart() {
  grep -qs '^exit_code=93$' "$run_dir/events/attempt-$attempt".node-* ||
    grep -qaE 'returned non-zero exit status 93\b|exitcode *: 93\b' "$run_dir/logs/attempt-$attempt.log"
}
