# ---- smaller: a second job that asks for fewer nodes (requeue.shrink_to)

# Both are of this run; the smaller one may begin later. Whichever begins first goes on, and takes the other out of the
# queue. It is asked for at most once an attempt: without it the run comes back all the same.
queue_smaller_job() {
  local record=$run_dir/events/attempt-$attempt.smaller now job
  [ -n "${shrink_to:-}" ] && [ -z "$array_job" ] && [ ! -e "$run_dir/cancelled" ] && [ ! -e "$record" ] || return 0
  now=$(date +%s)
  record "$record" asked="$now"
  job=$(submit_smaller_job 2>&1) || { say "no smaller job: $job"; return 0; }
  job=${job##*$'\n'} job=${job%%;*}
  record "$record" job_id="$job" asked="$now"
  say "job $job requests $shrink_to nodes, unless the run continues within $shrink_after s"
}

submit_smaller_job() (
  secrets=${secrets:+$secrets,}CLUSTERRUN_SMALLER=1
  submit_again --begin="now+$shrink_after" --nodes="$shrink_to"
)

# At the begin of the attempt after $1: what waits for the same now waits in vain.
cancel_other_jobs() {
  local kind job
  [ -e "$run_dir/events/attempt-$1.smaller" ] || return 0
  for kind in begin successor smaller; do
    job=$(value job_id "$run_dir/events/attempt-$1.$kind")
    case $job in '' | *[!0-9]* | "$SLURM_JOB_ID") continue ;; esac
    repoint_dependents "$job" "$SLURM_JOB_ID"
    scancel --state=PENDING "$job" 2>/dev/null && say "job $job is no longer needed: cancelled"
  done
}

# A smaller job that nobody took back, and the run has ended for good meanwhile: no person wanted this.
exit_if_too_late() {
  local next
  next=$(value next "$run_dir/events/attempt-$1.end")
  [ "$next" = end ] && is_smaller || return 0
  say "run $run_id has ended"
  exit 0
}

# Whether this job is one that asked for less, of whichever attempt.
is_smaller() { grep -qsx "job_id=$SLURM_JOB_ID" "$run_dir"/events/attempt-*.smaller; }
