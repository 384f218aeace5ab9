# ---- wait: waits for Slurm to end this job, no longer than the cluster's own settings explain

# wait_for_slurm CAUSE: Slurm ends this job and requeues it by itself, unless the signal was no preemption (`scancel -s
# TERM`), or Slurm has not noticed that a node failed. It does not requeue a job that reaches its time limit first.
wait_for_slurm() {
  local limit_s limit_source reason
  exit_if_cancelled
  set_wait_limit "$1"
  reason=$(read_value reason "$run_dir/events/attempt-$attempt.end")
  record_end "$1" by-slurm "$reason" wait_s="$limit_s" wait_source="$limit_source"
  pause_unless_cancelled "$limit_s"
  [ -z "$term_seen" ] || return 0
  exit_if_replaced
  reason="Slurm did not end the job within $limit_s s ($limit_source)"
  log_message "$reason; requesting a requeue"
  record_end "$1" continue "$reason"
}

# If slurmd on this node has died, Slurm ends nothing here and may have restarted the job: then nothing is recorded or
# requested. Exiting earlier would be no better: slurmctld takes that for the end of the next start (seen on 24.11).
exit_if_replaced() { ! attempt_is_replaced || exit_with_step_code; }

# Slurm has requeued the job, so that it holds no nodes: this shell has nothing left to decide, on a node that Slurm has lost.
wait_until_replaced() {
  while :; do
    wait_for_kill
    exit_if_replaced
  done
}

# set_wait_limit CAUSE: find out how long Slurm may take to end this job (slurm.conf(5)); slurmctld looks every 30 s.
# sets: limit_s, limit_source
set_wait_limit() {
  local grace_s kill_s down_s
  if [ "$1" = node-failure ]; then
    down_s=$(find_setting SlurmdTimeout)
    limit_source="SlurmdTimeout is ${down_s:=300} s"
    limit_s=$((down_s + down_s / 3 + 30))  # nodes are pinged three times in that time
    return
  fi
  grace_s=$(find_grace_time)
  kill_s=$(find_setting KillWait)
  if [ "${grace_s:-0}" -gt "${kill_s:=30}" ]; then
    limit_s=$((grace_s + 30)) limit_source="GraceTime is $grace_s s"
  else
    limit_s=$((kill_s + 30)) limit_source="KillWait is $kill_s s"
  fi
}

# find_setting NAME: print a time of slurm.conf, in seconds, or nothing if Slurm does not respond
find_setting() { scontrol show config 2>/dev/null | sed -nE "s/^$1 *= *([0-9]+).*/\1/p" | head -n 1; }

# Print how long Slurm lets a preempted job run, in seconds: as its partition defines, or its QOS with preempt/qos.
find_grace_time() {
  case $(scontrol show config 2>/dev/null) in
    *preempt/qos*)
      sacctmgr --noheader --parsable2 show qos "${SLURM_JOB_QOS:-normal}" format=GraceTime 2>/dev/null |
        awk -F '[-:]' 'NF > 2 {h = NF - 2; m = NF - 1; print (NF > 3 ? $1 * 86400 : 0) + $h * 3600 + $m * 60 + $NF}' | head -n 1
      ;;
    *)
      scontrol show partition "${SLURM_JOB_PARTITION:-}" 2>/dev/null |
        sed -nE 's/.*GraceTime=([0-9]+).*/\1/p' | head -n 1
      ;;
  esac
}

# pause_unless_cancelled SECONDS: a signal ends the pause, also one that came before it.
# sets: signal_seen
pause_unless_cancelled() {
  signal_seen=
  exit_if_cancelled
  sleep_until_signal "$1"
  exit_if_cancelled
}

# Handle a TERM to this shell after the training processes have ended: after scancel the run ends; otherwise Slurm
# continues it, or the continuation is already requested.
exit_if_cancelled() {
  local cause continuation
  [ -n "$term_seen" ] && [ -z "$continuation_requested" ] || return 0
  trap '' TERM
  cause=$(find_kill_cause)
  case $cause in
    cancel)
      log_message "cancelled"
      cancel_other_jobs "$attempt"
      record_end cancel end ''
      exit_unfinished
      ;;
    time-limit | unknown) return 0 ;;
  esac
  continuation=$(choose_continuation "$cause" by-slurm)
  [ "$continuation" = successor ] || wait_for_kill
  ! queue_successor "$cause" || exit_with_step_code
}

# Stay until Slurm, which has requeued this job, ends it. Exit at its TERM: waiting for its KILL would keep the nodes for
# another KillWait.
# sets: signal_seen
wait_for_kill() {
  local limit_s
  limit_s=$(find_setting KillWait)
  trap 'note_signal TERM' TERM
  signal_seen=
  [ -z "$term_seen" ] || exit_with_step_code
  sleep_until_signal $((${limit_s:-30} + 60))
  [ -z "$term_seen" ] || exit_with_step_code
}

# Exit with a code other than 0, so that jobs which depend on the success of this one do not start: those of other users
# cannot be repointed to the successor.
exit_with_step_code() { exit "${exit_code_override:-$((step_exit ? step_exit : 1))}"; }
