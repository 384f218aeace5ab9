# ---- begin: claims the next attempt of this run, unless the run is over or another job is training it

# Claim the next attempt of this run, or exit if the run is over or another job is training it.
# sets: array_job, in_preparation, job_end_time, preparation_watcher, slurm_log, slurm_log_start
begin_attempt() {
  local last
  slurm_log=$(readlink "/proc/$$/fd/2")
  slurm_log_start=$(stat -c %s "$slurm_log" 2>/dev/null || echo 0)
  array_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  make_run_folder
  exit_if_run_is_over
  last=$(find_last_attempt)
  exit_if_run_has_ended "$last"
  claim_attempt
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

# Slurm may restart a finished run: from 24.05 on it does so after a preemption, whatever the exit code was.
exit_if_run_is_over() {
  if grep -qs '^outcome=finished$' "$run_dir"/events/attempt-*.trainer ||
    grep -qs '^cause=finished$' "$run_dir"/events/attempt-*.end; then
    log_message "run $run_id has already finished"
    exit 0
  fi
  if [ -e "$run_dir/cancelled" ] || { [ -n "$array_job" ] && [ -e "$run_dir/../cancelled" ]; }; then
    log_message "run $run_id was cancelled"
    exit_unfinished
  fi
}

# noclobber opens with O_EXCL: if two jobs try, one gets the number. The other one sees that the first is running, and
# exits. An earlier attempt of the same job is dead, or fenced by `current`.
# sets: attempt
claim_attempt() {
  local number previous
  number=$(find_last_attempt)
  number=$((10#${number:-0}))
  while :; do
    number=$((number + 1))
    attempt=$(printf '%04d' "$number")
    (umask 077 && set -o noclobber && print_begin_record > "$run_dir/events/attempt-$attempt.begin") 2>/dev/null && break
    check_number_is_taken "$run_dir/events/attempt-$attempt.begin"
  done
  previous=$(read_value job_id "$run_dir/events/attempt-$(find_last_attempt "$attempt").begin")
  if [ -n "$previous" ] && [ "$previous" != "$SLURM_JOB_ID" ] &&
    [ "$(squeue --noheader --jobs="$previous" --format=%T 2>/dev/null)" = RUNNING ]; then
    log_message "job $previous is already training run $run_id"
    rm -f "$run_dir/events/attempt-$attempt.begin"
    exit_unfinished
  fi
}

# If another job took the number, its record has content. An empty record is our own: no space is left on the disk.
check_number_is_taken() {
  local attempt=
  [ -e "$1" ] || fail "cannot write to $run_dir/events"
  [ -s "$1" ] || sleep_until_signal 1
  [ -s "$1" ] && return 0
  rm -f "$1"
  fail "no space left in $run_dir/events: the disk is full or a quota is exceeded"
}

print_begin_record() {
  printf '%s\n' "job_id=$SLURM_JOB_ID" "restart=${SLURM_RESTART_COUNT:-0}" "nodes=$SLURM_JOB_NODELIST" \
    "cluster=${SLURM_CLUSTER_NAME:-}" "by=$requeue_by" "began=$(date +%s)"
}

# find_last_attempt [BEFORE]: print the number of the latest attempt, or of the latest before BEFORE; nothing without one
find_last_attempt() {
  local file name last=
  for file in "$run_dir"/events/attempt-*.begin; do
    name=${file##*/attempt-} name=${name%.begin}
    [ -e "$file" ] && { [ -z "${1:-}" ] || [[ "$name" < "$1" ]]; } && last=$name
  done
  printf '%s' "$last"
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

# exit_if_run_has_ended ATTEMPT: exit from a job that would continue the run, although ATTEMPT was its last: Slurm may start
# such a job later. Only `clusterrun resume` restarts the run then, in a job that no record here names. Slurm restarts no
# job after scancel, so if it has restarted this one, the cause "cancel" was wrong. A script that was piped into sbatch
# (`clusterrun render | sbatch`) has no record of `submit`, and cannot be resumed: there `scontrol requeue` restarts it.
exit_if_run_has_ended() {
  local next cause previous
  next=$(read_value next "$run_dir/events/attempt-$1.end")
  [ "$next" = end ] && job_is_of_this_run || return 0
  cause=$(read_value cause "$run_dir/events/attempt-$1.end")
  previous=$(read_value job_id "$run_dir/events/attempt-$1.begin")
  if [ "$previous" = "$SLURM_JOB_ID" ]; then
    [ "$cause" != cancel ] && run_was_submitted || return 0
  fi
  log_message "run $run_id has ended ($cause); use \`clusterrun resume $run_id\` to restart it"
  case $cause in stop | cancel) exit_unfinished ;; esac
  exit_for_good 1
}

# Whether `submit` has recorded this run: in its own folder, or in that of the array whose task it is.
run_was_submitted() {
  [ -e "$run_dir/events/submit.intent" ] || { [ -n "$array_job" ] && [ -e "$run_dir/../events/submit.intent" ]; }
}

# Whether an attempt of this run was in this job, or has queued it.
job_is_of_this_run() {
  local own=$run_dir/events/attempt-${attempt:-}.begin
  [ -n "${CLUSTERRUN_FIRST_JOB:-}" ] ||
    grep -lsx "job_id=$SLURM_JOB_ID" "$run_dir"/events/attempt-*.begin | grep -qvxF "$own"
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

# cancel_other_jobs ATTEMPT: at the start of the attempt after ATTEMPT, cancel the pending jobs that would continue it, too.
cancel_other_jobs() {
  local kind job
  [ -e "$run_dir/events/attempt-$1.smaller" ] || [ -e "$run_dir/events/attempt-$1.successor" ] || return 0
  for kind in begin successor smaller; do
    job=$(read_value job_id "$run_dir/events/attempt-$1.$kind")
    case $job in '' | *[!0-9]* | "$SLURM_JOB_ID") continue ;; esac
    repoint_dependents "$job" "$SLURM_JOB_ID"
    scancel --state=PENDING "$job" 2>/dev/null && log_message "cancelled job $job, which is no longer needed"
  done
}
