# ---- smaller: queues a second job that requests fewer nodes (requeue.shrink_to)

# Both jobs belong to this run, and the smaller one may start only later. Whichever starts first continues the run and
# cancels the other. It is submitted at most once per attempt: the run continues without it, too.
queue_smaller_job() {
  local file=$run_dir/events/attempt-$attempt.smaller now job
  ! smaller_job_was_refused || return 0
  [ -n "${shrink_to:-}" ] && [ -z "$array_job" ] && [ ! -e "$run_dir/cancelled" ] && [ ! -e "$file" ] || return 0
  now=$(date +%s)
  write_record "$file" requested_at="$now"
  job=$(submit_smaller_job 2>&1) || { log_message "smaller job refused: $job"; return 0; }
  job=${job##*$'\n'} job=${job%%;*}
  write_record "$file" job_id="$job" requested_at="$now"
  log_message "job $job requests $shrink_to nodes; it starts unless the run continues within $shrink_after s"
}

# Whether the training of a smaller job has refused to start: the next one would do so, too.
smaller_job_was_refused() { grep -qszP '^cause=no-restart\nnext=continue\n' "$run_dir"/events/attempt-*.end; }

submit_smaller_job() (
  secrets=${secrets:+$secrets,}CLUSTERRUN_SMALLER=1
  submit_again --begin="now+$shrink_after" --nodes="$shrink_to"
)
