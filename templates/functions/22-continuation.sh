# ---- continuation: decides from the records whether this job continues the run, and claims its next attempt

# The decision is made twice: without a claim, so that a job which is not needed leaves no trace, and with it, when nobody
# else can begin. Between the two another job may have started, and even ended; then the decision is repeated.
# sets: claim, last
claim_next_attempt() {
  local deciding
  while :; do
    exit_if_run_is_over
    last=$(find_deciding_attempt)
    exit_if_run_has_ended "$last"
    exit_if_another_job_continues "$last"
    claim_attempt "$last"
    exit_if_run_is_over
    exit_if_run_has_ended "$last"
    deciding=$(find_deciding_attempt "$attempt")
    [ "$deciding" != "$last" ] || break
    give_up_claim
  done
  claim=
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

# exit_if_run_has_ended ATTEMPT: exit from a job of this run that starts again although ATTEMPT was the last. Only `clusterrun
# resume` restarts the run then, in another job. Slurm restarts no job after scancel, so if it has restarted this one, the
# cause "cancel" was wrong, unless the job's log confirms it: then a person has typed `scontrol requeue`. A script that was
# piped into sbatch (`clusterrun render | sbatch`) has no record of `submit`, and cannot be resumed: there `scontrol requeue`
# restarts it.
exit_if_run_has_ended() {
  local next cause previous
  next=$(read_value next "$run_dir/events/attempt-$1.end")
  [ "$next" = end ] || return 0
  job_is_of_this_run || job_was_submitted || return 0
  ! job_is_resumed_after "$1" || return 0
  cause=$(read_value cause "$run_dir/events/attempt-$1.end")
  previous=$(read_value job_id "$run_dir/events/attempt-$1.begin")
  if [ "$previous" = "$SLURM_JOB_ID" ]; then
    run_was_submitted && { [ "$cause" != cancel ] || log_confirms_cancellation; } || return 0
  fi
  log_message "run $run_id has ended ($cause); use \`clusterrun resume $run_id\` to restart it"
  case $cause in stop | cancel) exit_unfinished ;; esac
  exit_for_good 1
}

# Whether Slurm has ever logged without a reason that it ends this job, as after scancel.
log_confirms_cancellation() {
  local causes
  causes=$(read_causes JOB 2>/dev/null < "$slurm_log")
  grep -qx cancel <<< "$causes"
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

# Whether `submit` or `resume` has queued this job.
job_was_submitted() {
  local jobs
  jobs=$(sed -nE 's/^(job_id|earlier)=//p' "$run_dir/events/submit.job" 2>/dev/null | paste -sd ' ')
  case " $jobs " in *" $SLURM_JOB_ID "* | *" ${array_job:-$SLURM_JOB_ID} "*) return 0 ;; esac
  return 1
}

# find_resumed_job ATTEMPT: print the job that `resume` has queued since ATTEMPT, `resuming` while its id is not recorded, or
# nothing if the run was not resumed. `resume` also counts claims that were never confirmed.
find_resumed_job() {
  local number after submitted job=
  number=$(read_value number "$run_dir/events/submit.intent")
  after=$(read_value after "$run_dir/events/submit.intent")
  [ -n "$number" ] && ! [[ $after < $1 ]] || return 0
  submitted=$(read_value number "$run_dir/events/submit.job")
  [ "$submitted" != "$number" ] || job=$(read_value job_id "$run_dir/events/submit.job")
  echo "${job:-resuming}"
}

# job_is_resumed_after ATTEMPT: whether this is the job that `resume` has queued since ATTEMPT, or is just queueing.
job_is_resumed_after() {
  local job
  job=$(find_resumed_job "$1")
  case $job in
    resuming) ! job_may_not_be_resumed ;;
    *) job_has_id "$job" ;;
  esac
}

# Whether this job is too old to be the one that `resume` is queueing.
job_may_not_be_resumed() {
  local after
  after=$(read_value after "$run_dir/events/submit.intent")
  [ -n "${CLUSTERRUN_FIRST_JOB:-}" ] || job_had_attempt_until "$after" || job_was_submitted
}

# job_has_id ID: whether an id in a record is this job's; for a task of an array, it may be that of the array.
job_has_id() {
  case $1 in "$SLURM_JOB_ID" | "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}" | "${array_job:-$SLURM_JOB_ID}") return 0 ;; esac
  return 1
}

# job_had_attempt_until ATTEMPT: whether an attempt up to ATTEMPT was in this job.
job_had_attempt_until() {
  local file name
  for file in "$run_dir"/events/attempt-*.begin; do
    name=${file##*/attempt-} name=${name%.begin}
    if ! [[ $name > $1 ]] && grep -qsx "job_id=$SLURM_JOB_ID" "$file"; then return 0; fi
  done
  return 1
}

# exit_if_another_job_continues ATTEMPT: exit from a job that does not continue the run after ATTEMPT, while the one that
# does is in the queue or running. A person may have requeued or released an old job. If the other jobs are gone, this one
# continues the run. Slurm may have requeued a job that has a successor: it gives way only if that is running.
exit_if_another_job_continues() {
  local jobs job others='' active queued=PENDING
  jobs=$(list_continuing_jobs "$1")
  for job in $jobs; do
    if job_has_id "$job"; then
      others='' queued=
      continue
    fi
    case $job in
      resuming)
        job_may_not_be_resumed || return 0
        log_message "a resume of run $run_id has started; \`clusterrun resume $run_id\` completes it; this job is not needed"
        exit_unfinished
        ;;
      unknown) [ -z "$queued" ] || job_had_attempt_until "$1" || job_was_submitted || return 0 ;;
    esac
    others+=" $job"
  done
  # shellcheck disable=SC2086
  active=$(find_active_job $others)
  case ${active##* } in '') return 0 ;; PENDING | UNKNOWN) [ -n "$queued" ] || return 0 ;; esac
  log_message "run $run_id continues in job ${active% *} (${active##* }); this job is not needed"
  exit_unfinished
}

# list_continuing_jobs ATTEMPT: print the jobs that may continue the run after ATTEMPT: the one that `resume` has queued since,
# or else that of ATTEMPT, its successor and the smaller one. A job whose id is not recorded yet is `unknown`.
list_continuing_jobs() {
  local resumed kind file job
  resumed=$(find_resumed_job "$1")
  if [ -n "$resumed" ]; then
    echo "$resumed"
    return
  fi
  for kind in begin successor smaller; do
    file=$run_dir/events/attempt-${1:-0}.$kind
    [ ! -e "$file" ] || { job=$(read_value job_id "$file") && echo "${job:-unknown}"; }
  done
}

# find_active_job JOB...: print the first of these jobs that has not ended, and its state. While Slurm does not respond, ask
# again for a minute; then its state is UNKNOWN.
find_active_job() {
  local job state try
  for job; do
    case $job in unknown) ;; '' | *[!0-9_]* | "$SLURM_JOB_ID") continue ;; esac
    for try in 1 2 3 4 5 6; do
      state=$(query_job "$job" 2>&1) && break
      slurm_is_unreachable "$state" || { state= && break; }
      state="$job UNKNOWN"
      [ "$try" -eq 6 ] || sleep_until_signal 10
    done
    [ -z "$state" ] || { echo "$state" && return; }
  done
}

# query_job JOB: print the id and the state of a job in the queue. The id of an array's last task is also that of the array;
# %A is each task's own. A job whose id is `unknown` is found by its script, unless that is an array's.
query_job() {
  local lines
  if [ "$1" != unknown ]; then
    lines=$(squeue --noheader --jobs="$1" --format='%A %T' 2>&1) || { echo "$lines" && return 1; }
    awk -v job="$1" 'job ~ /_/ || $1 == job {print job, $2; exit}' <<< "$lines"
  elif [ -z "$array_job" ]; then
    lines=$(squeue --noheader --me --format='%A %T %o' 2>&1) || { echo "$lines" && return 1; }
    awk -v id="$SLURM_JOB_ID" -v file="$run_dir/job.sbatch" \
      '$1 != id && substr($0, length($1 $2) + 3) == file {print $1, $2; exit}' <<< "$lines"
  fi
}

# cancel_other_jobs ATTEMPT: cancel the pending jobs that would continue the run after ATTEMPT, too: this job does, or the run
# has ended.
cancel_other_jobs() {
  local jobs job
  jobs=$(list_other_pending_jobs "$1")
  for job in $jobs; do
    repoint_dependents "$job" "$SLURM_JOB_ID"
    scancel --state=PENDING "$job" 2>/dev/null && log_message "cancelled job $job, which is no longer needed"
  done
}

# The id of a queued job may not be recorded, so jobs are recognized by their script, too. All tasks of an array have the same
# script, and the SLURM_JOB_ID of one of them is the id of the whole array: only a task's successors are other jobs.
list_other_pending_jobs() {
  local kind job kinds=begin\ successor\ smaller
  [ -z "$array_job" ] || kinds=successor
  [ -e "$run_dir/events/attempt-$1.smaller" ] || [ -e "$run_dir/events/attempt-$1.successor" ] || kinds=
  {
    for kind in $kinds; do
      job=$(read_value job_id "$run_dir/events/attempt-$1.$kind")
      case $job in '' | *[!0-9]* | "$SLURM_JOB_ID") ;; *) echo "$job" ;; esac
    done
    list_queued_jobs_of_script
  } | awk '!seen[$0]++'
}

# Print the pending jobs that run this script, other than this one.
list_queued_jobs_of_script() {
  [ -z "$array_job" ] || return 0
  squeue --noheader --me --states=PENDING --format='%A %o' 2>/dev/null |
    awk -v id="$SLURM_JOB_ID" -v file="$run_dir/job.sbatch" '$1 != id && substr($0, length($1) + 2) == file {print $1}'
}
