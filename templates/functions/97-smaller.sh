# ---- smaller: queues a second job that requests fewer nodes (requeue.shrink_to)

# Both jobs belong to this run, and the smaller one may start only later. Whichever starts first continues the run and
# cancels the other. It is submitted at most once per attempt: the run continues without it, too.
queue_smaller_job() {
  local file=$run_dir/events/attempt-$attempt.smaller now job
  [ -n "${shrink_to:-}" ] && [ -z "$array_job" ] && [ ! -e "$run_dir/cancelled" ] && [ ! -e "$file" ] || return 0
  now=$(date +%s)
  write_record "$file" requested_at="$now"
  job=$(submit_smaller_job 2>&1) || { log_message "smaller job refused: $job"; return 0; }
  job=${job##*$'\n'} job=${job%%;*}
  write_record "$file" job_id="$job" requested_at="$now"
  log_message "job $job requests $shrink_to nodes; it starts unless the run continues within $shrink_after s"
}

submit_smaller_job() (
  secrets=${secrets:+$secrets,}CLUSTERRUN_SMALLER=1
  submit_again --begin="now+$shrink_after" --nodes="$shrink_to"
)

# cancel_other_jobs ATTEMPT: at the start of the attempt after ATTEMPT, cancel the pending jobs that would continue it.
cancel_other_jobs() {
  local kind job
  [ -e "$run_dir/events/attempt-$1.smaller" ] || return 0
  for kind in begin successor smaller; do
    job=$(read_value job_id "$run_dir/events/attempt-$1.$kind")
    case $job in '' | *[!0-9]* | "$SLURM_JOB_ID") continue ;; esac
    repoint_dependents "$job" "$SLURM_JOB_ID"
    scancel --state=PENDING "$job" 2>/dev/null && log_message "cancelled job $job, which is no longer needed"
  done
}

# exit_if_smaller_job_is_obsolete ATTEMPT: exit from a smaller job that was not cancelled before the run ended.
exit_if_smaller_job_is_obsolete() {
  local next
  next=$(read_value next "$run_dir/events/attempt-$1.end")
  [ "$next" = end ] && is_smaller_job || return 0
  log_message "run $run_id has ended"
  exit 0
}

# Whether this job is the smaller job of any attempt.
is_smaller_job() { grep -qsx "job_id=$SLURM_JOB_ID" "$run_dir"/events/attempt-*.smaller; }
