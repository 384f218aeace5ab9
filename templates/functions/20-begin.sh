# ---- begin: claims the next attempt of this run, unless the run is over or another job trains it

# Claim the next attempt of this run, or leave: it is finished, given up, or another job trains it.
# sets: array_job, job_ends, preparation_watcher, preparing, slurm_log, slurm_log_start
begin_attempt() {
  local last
  slurm_log=$(readlink "/proc/$$/fd/2")
  slurm_log_start=$(stat -c %s "$slurm_log" 2>/dev/null || echo 0)
  array_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  make_run_folder
  exit_if_run_is_over
  last=$(last_attempt)
  exit_if_too_late "$last"
  claim_attempt
  preparing=1
  record "$run_dir/current" attempt="$attempt" job_id="$SLURM_JOB_ID"
  rm -f "$run_dir/requeue"
  say "attempt $attempt of run $run_id; its output: $run_dir/logs/attempt-$attempt.log"
  exec >> "$run_dir/logs/attempt-$attempt.log" 2>&1
  chmod "$([ -n "${share:-}" ] && echo 640 || echo 600)" "$run_dir/logs/attempt-$attempt.log"
  trap end_before_step TERM
  [ -z "$term_seen" ] || end_before_step
  watch_preparation &
  preparation_watcher=$!
  disown "$preparation_watcher"
  job_ends=$(find_job_end)
  if [ -n "$last" ]; then
    record_end_of_previous_attempt "$last"
    may_continue_after "$last" || exit_for_good 1
    cancel_other_jobs "$last"
  fi
  if [ -s "$run_dir/stop" ] || { [ -n "$array_job" ] && [ -s "$run_dir/../stop" ]; }; then
    say "a stop was requested"
    record "$run_dir/events/attempt-$attempt.end" cause=stop next=end exit_code=0 ended="$(date +%s)"
    exit 0
  fi
}

make_run_folder() {
  (umask 077 && mkdir -p "$run_dir"/{events,logs,checkpoints,staging}) || fail "cannot make the run folder $run_dir"
  [ -e "$run_dir/stop" ] || (umask 077 && : > "$run_dir/stop")
  [ -e "$run_dir/events/submit.settings" ] || record "$run_dir/events/submit.settings" "${settings[@]}"
  [ -n "$array_job" ] || [ -e "$run_dir/job.sbatch" ] || (umask 077 && cp "$0" "$run_dir/job.sbatch")  # for a successor
  if [ -n "${share:-}" ]; then
    (umask 077 && mkdir -p "$run_dir/output")
    chmod 750 "$run_dir" "$run_dir/logs"
    chmod 660 "$run_dir/stop"
    chmod g+r "$slurm_log"
  fi
}

# Slurm may start a finished run again: newer ones do so after a preemption, whatever the exit code was.
exit_if_run_is_over() {
  if grep -qs '^outcome=finished$' "$run_dir"/events/attempt-*.trainer ||
    grep -qs '^cause=finished$' "$run_dir"/events/attempt-*.end; then
    say "run $run_id has already finished"
    exit 0
  fi
  if [ -e "$run_dir/cancelled" ] || { [ -n "$array_job" ] && [ -e "$run_dir/../cancelled" ]; }; then
    say "run $run_id was cancelled"
    exit 0
  fi
}

# noclobber opens with O_EXCL: of two jobs that try, one gets the number. The other one sees that the job before it
# runs, and leaves. An earlier attempt of the same job is dead, or fenced by `current`.
# sets: attempt
claim_attempt() {
  local number previous
  number=$(last_attempt)
  number=$((10#${number:-0}))
  while :; do
    number=$((number + 1))
    attempt=$(printf '%04d' "$number")
    (umask 077 && set -o noclobber && print_begin_record > "$run_dir/events/attempt-$attempt.begin") 2>/dev/null && break
    check_number_is_taken "$run_dir/events/attempt-$attempt.begin"
  done
  previous=$(value job_id "$run_dir/events/attempt-$(last_attempt "$attempt").begin")
  if [ -n "$previous" ] && [ "$previous" != "$SLURM_JOB_ID" ] &&
    [ "$(squeue --noheader --jobs="$previous" --format=%T 2>/dev/null)" = RUNNING ]; then
    say "job $previous is already training run $run_id"
    rm -f "$run_dir/events/attempt-$attempt.begin"
    exit 0
  fi
}

# A number that another job has taken has that job's words. An empty one is our own: the disk has no room for words.
check_number_is_taken() {
  local attempt=
  [ -e "$1" ] || fail "cannot write into $run_dir/events"
  [ -s "$1" ] || sleep_until_signal 1
  [ -s "$1" ] && return 0
  rm -f "$1"
  fail "no room in $run_dir/events: a full disk, or a quota"
}

print_begin_record() {
  printf '%s\n' "job_id=$SLURM_JOB_ID" "restart=${SLURM_RESTART_COUNT:-0}" "nodes=$SLURM_JOB_NODELIST" \
    "cluster=${SLURM_CLUSTER_NAME:-}" "by=$requeue_by" "began=$(date +%s)"
}

# The latest attempt, or the latest one before $1; nothing where there is none.
last_attempt() {
  local file name last=
  for file in "$run_dir"/events/attempt-*.begin; do
    name=${file##*/attempt-} name=${name%.begin}
    [ -e "$file" ] && { [ -z "${1:-}" ] || [[ "$name" < "$1" ]]; } && last=$name
  done
  printf '%s' "$last"
}

# When Slurm will end this job, in seconds since the epoch; nothing where no limit is known. squeue knows of a limit that
# was raised; Slurm's variable does not, and is there from 23.02 on.
find_job_end() {
  local found
  found=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2>/dev/null | head -n 1)
  found=$(date -d "${found:-none}" +%s 2>/dev/null) || found=${SLURM_JOB_END_TIME:-0}
  [ "$found" -le "$(date +%s)" ] || printf '%s' "$found"
}

# An attempt that ended without a word was taken by a node failure or killed outright. Say so in its place.
record_end_of_previous_attempt() {
  [ -e "$run_dir/events/attempt-$1.end" ] || record "$run_dir/events/attempt-$1.end" cause=node-failure next=continue \
    reason="it was ended before it could say why" step="$(value step "$run_dir/progress")" ended="$(date +%s)"
  update_ledger "$1" "$(value cause "$run_dir/events/attempt-$1.end")"
}

# Slurm starts jobs again by its own rules; this is where requeue.on and the patience with idle attempts bind it.
# Another job than the last one, and no successor of it, was wanted by a person.
may_continue_after() {
  local cause counts_as reason=
  case ${SLURM_JOB_ID:-} in
    "$(value job_id "$run_dir/events/attempt-$1.begin")" | "$(value job_id "$run_dir/events/attempt-$1.successor")") ;;
    *) is_smaller || return 0 ;;
  esac
  cause=$(value cause "$run_dir/events/attempt-$1.end")
  case $cause in
    preemption | time-limit | node-failure | bad-node | unknown)
      counts_as=${cause/bad-node/node-failure}
      case " $requeue_on " in
        *" ${counts_as/unknown/node-failure} "*) ;;
        *) reason="the last attempt ended by $cause, which requeue.on leaves out" ;;
      esac
      ;;
  esac
  [ -n "$reason" ] || [ "$(value next "$run_dir/events/attempt-$1.end")" = end ] || reason=$(explain_end "$cause")
  [ -n "$reason" ] || return 0
  say "$reason"
  record "$run_dir/events/attempt-$attempt.end" cause="$cause" next=end reason="$reason" exit_code=1 ended="$(date +%s)"
  return 1
}
