# ---- begin: claims the next attempt of this run, unless the run is over or another job is training it

# Claim the next attempt of this run, or exit if the run is over or another job is training it.
# sets: array_job, in_preparation, job_end_time, preparation_watcher, slurm_log, slurm_log_start
begin_attempt() {
  local last
  slurm_log=$(readlink "/proc/$$/fd/2")
  slurm_log_start=$(stat -c %s "$slurm_log" 2>/dev/null || echo 0)
  array_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  make_run_folder
  claim_next_attempt
  in_preparation=1
  write_record "$run_dir/current" attempt="$attempt" job_id="$SLURM_JOB_ID"
  rm -f "$run_dir/requeue"
  log_message "attempt $attempt of run $run_id; output: $run_dir/logs/attempt-$attempt.log"
  exec >> "$run_dir/logs/attempt-$attempt.log" 2>&1
  chmod "$([ -n "${share:-}" ] && echo 640 || echo 600)" "$run_dir/logs/attempt-$attempt.log"
  trap end_before_step TERM
  [ -z "$term_seen" ] || end_before_step
  watch_preparation &
  preparation_watcher=$!
  disown "$preparation_watcher"
  job_end_time=$(find_job_end)
  if [ -n "$last" ]; then
    record_end_of_previous_attempt "$last"
    may_continue_after "$last" || exit_for_good 1
    cancel_other_jobs "$last"
  fi
  if [ -s "$run_dir/stop" ] || { [ -n "$array_job" ] && [ -s "$run_dir/../stop" ]; }; then
    log_message "stop requested; exiting"
    write_record "$run_dir/events/attempt-$attempt.end" cause=stop next=end exit_code=0 ended="$(date +%s)"
    exit_unfinished
  fi
}

make_run_folder() {
  [ -z "${was_submitted:-}" ] || exit_if_folder_was_removed
  (umask 077 && mkdir -p "$run_dir"/{events,logs,checkpoints,staging}) || fail "cannot create the run folder $run_dir"
  [ -e "$run_dir/stop" ] || (umask 077 && : > "$run_dir/stop")
  [ -e "$run_dir/events/submit.settings" ] || write_record "$run_dir/events/submit.settings" "${settings[@]}"
  [ -n "$array_job" ] || [ -e "$run_dir/job.sbatch" ] || (umask 077 && cp "$0" "$run_dir/job.sbatch")  # for a successor
  if [ -n "${share:-}" ]; then
    (umask 077 && mkdir -p "$run_dir/output")
    chmod 750 "$run_dir" "$run_dir/logs"
    chmod 660 "$run_dir/stop"
    chmod 640 "$slurm_log"  # decisions rest on it: with a umask of 002 the group could write it
  fi
}

# `clusterrun clean` may have removed the folder of an ended run whose job starts again: without its records it would train
# from the beginning. A file server may show a new folder late.
exit_if_folder_was_removed() {
  local folder=$run_dir try
  [ -z "$array_job" ] || folder=${run_dir%/*}
  for try in 1 2 3; do
    [ ! -e "$folder/events/submit.intent" ] || return 0
    [ "$try" -eq 3 ] || sleep_until_signal 5
  done
  log_message "the run folder $folder was removed; submit the spec again for another run"
  exit_for_good 1
}

# Print when Slurm will end this job, in seconds since the epoch, or nothing without a known limit. squeue knows of a
# limit that was raised; Slurm's variable, which exists from 23.02 on, does not.
find_job_end() {
  local end_time
  end_time=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2>/dev/null | head -n 1)
  end_time=$(date -d "${end_time:-none}" +%s 2>/dev/null) || end_time=${SLURM_JOB_END_TIME:-0}
  [ "$end_time" -le "$(date +%s)" ] || printf '%s' "$end_time"
}

# An attempt without an end record was lost to a node failure or killed outright: write its record now.
record_end_of_previous_attempt() {
  [ -e "$run_dir/events/attempt-$1.end" ] || write_record "$run_dir/events/attempt-$1.end" cause=node-failure next=continue \
    reason="it was killed before it could record its end" step="$(read_value step "$run_dir/progress")" ended="$(date +%s)"
  update_ledger "$1" "$(read_value cause "$run_dir/events/attempt-$1.end")"
}

# Slurm restarts jobs by its own rules; requeue.on and the limit of attempts without progress are enforced here. A job
# that no attempt of this run has queued was submitted by a person, and may continue.
may_continue_after() {
  local cause counts_as reason=
  job_is_of_this_run || return 0
  cause=$(read_value cause "$run_dir/events/attempt-$1.end")
  case $cause in
    preemption | time-limit | node-failure | bad-node | unknown)
      counts_as=${cause/bad-node/node-failure}
      case " $requeue_on " in
        *" ${counts_as/unknown/node-failure} "*) ;;
        *) reason="the previous attempt ended with $cause, which requeue.on does not include" ;;
      esac
      ;;
  esac
  [ -n "$reason" ] || reason=$(explain_end "$cause")
  [ -n "$reason" ] || return 0
  log_message "$reason"
  write_record "$run_dir/events/attempt-$attempt.end" cause="$cause" next=end reason="$reason" exit_code=1 ended="$(date +%s)"
  return 1
}
