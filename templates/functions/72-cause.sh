# ---- cause: finds out why an attempt ended, from the training process, Slurm, and the records of the nodes

# Consider first the record of the training process, then what Slurm reported to the batch shell, then how the nodes'
# tasks ended. Slurm's reason for the end of the step counts if no task failed by itself; a node failure always counts,
# because it makes the other tasks fail.
find_end_cause() {
  local outcome step_cause order stop_request launch_failure
  outcome=$(read_value outcome "$run_dir/events/attempt-$attempt.trainer")
  step_cause=$(find_step_cause)
  order=$(read_value order "$run_dir/events/attempt-$attempt.hang")
  stop_request=$(find_first_stop_request)
  launch_failure=$(find_launch_failure)
  if [ "$outcome" = finished ] || [ "$outcome" = no-restart ]; then
    echo "$outcome"
  elif [ "$outcome" = trained ] && all_tasks_succeeded; then
    echo finished
  elif [ -z "$outcome" ] && training_ignored_stop && ! attempt_is_replaced; then
    echo finished
  elif attempt_is_replaced; then
    echo fenced
  elif [ -n "$term_seen" ]; then
    find_kill_cause
  elif [ -n "$step_cause" ] && { [ "$step_cause" = node-failure ] || ! task_failed_by_itself; }; then
    echo "$step_cause"
  elif [ "$outcome" = stopped ]; then
    find_stop_cause
  elif [ "$order" = end ]; then
    if all_tasks_succeeded; then echo finished; else echo hang; fi
  elif grep -qa 'srun: error: Node failure on ' "$run_dir/logs/attempt-$attempt.log"; then
    echo node-failure  # srun's exit code is 0 then
  elif [ "$step_exit" -eq 0 ]; then
    if [ -n "$stop_request" ]; then
      find_stop_cause
    elif all_tasks_succeeded; then
      echo finished
    else
      echo node-failure
    fi
  elif environment_is_unfit || all_nodes_are_unfit; then
    echo failed-start
  elif [ -n "$launch_failure" ]; then
    echo bad-node
  elif grep -qs '^check=.' "$run_dir/events/attempt-$attempt".node-*; then
    echo bad-node
  elif restart_is_forbidden; then
    echo no-restart
  elif task_crashed; then
    echo crash
  else
    find_stop_cause
  fi
}

# Print why Slurm is ending this job: the reason in slurmstepd's line about the job, which may come a moment after the
# signal, else the reason in its line about the step. Without either: the time limit if it is reached, else scancel.
find_kill_cause() {
  local try now cause='' signal_seen=''
  for try in 1 2 3 4 5; do
    cause=$(find_job_cause)
    [ -n "$cause" ] || cause=$(find_step_cause)
    [ -z "$cause" ] || break
    sleep_until_signal 0.2
  done
  now=$(date +%s)
  if [ -z "$cause" ] && [ -n "${job_end_time:-}" ] && [ "$now" -ge $((job_end_time - 2)) ]; then cause=time-limit; fi
  echo "${cause:-cancel}"
}

# Print why Slurm is ending the job, or nothing if it is not. The line is in the job's own log, to which the batch shell
# no longer writes.
find_job_cause() { tail -c "+$((slurm_log_start + 1))" "$slurm_log" 2>/dev/null | read_causes JOB | head -n 1; }

# Print why Slurm ended the step, or nothing without a known reason. When a task has failed, Slurm ends the step without
# a reason, from 26.05 on "DUE TO TASK FAILURE"; the records of the nodes are more precise then.
find_step_cause() {
  read_causes STEP 2>/dev/null < "$run_dir/logs/attempt-$attempt.log" | grep -vxE 'cancel|unknown' | head -n 1
}

# read_causes JOB|STEP: translate slurmstepd's lines to causes, one a line. They begin with its name, with its name and
# the node's, or with a time, and contain the id of this job; a line that a script prints or quotes does not count.
read_causes() {
  local prefix='^(slurmstepd(-[^ :]+)?: |\[[0-9T:.-]+\] )?error: \*\*\* ' at='CANCELLED AT [0-9T:-]+'
  local job="$1 ${SLURM_JOB_ID:-[0-9]+}(\.[^ ]+)?" reason
  LC_ALL=C sed -nE "s/$prefix$job ON [^ ]+ $at ?(.*)\*\*\*\r?\$/\4/p" | while IFS=' ' read -r reason; do
    case $reason in
      '' | "DUE to SIGNAL"*) echo cancel ;;
      "DUE TO PREEMPTION") echo preemption ;;
      "DUE TO TIME LIMIT") echo time-limit ;;
      "DUE TO JOB REQUEUE") echo requeue ;;
      "DUE TO NODE FAILURE"*) echo node-failure ;;
      *) echo unknown ;;
    esac
  done
}

# Print srun's error if it could not start the task of a node, as after a reboot of the node; else nothing.
find_launch_failure() {
  sed -n 's/.*srun: error: Task launch for .* failed on node \(.*\)/the launch failed on \1/p' \
    "$run_dir/logs/attempt-$attempt.log" 2>/dev/null | head -n 1
}

# Whether all tasks have recorded exit code 0.
all_tasks_succeeded() {
  local task code
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task++)); do
    code=$(read_value exit_code "$run_dir/events/attempt-$attempt.node-$task")
    [ "$code" = 0 ] || return 1
  done
}

# Whether a stop was requested, but no training process could handle it, and all have exited with 0: they have finished.
training_ignored_stop() {
  local stop_request
  [ "$step_exit" -eq 0 ] || return 1
  stop_request=$(find_first_stop_request)
  [ -n "$stop_request" ] && all_tasks_succeeded && ! grep -qs '^stop_handled=yes$' "$run_dir/events/attempt-$attempt".node-*
}

# Print the first stop request that a node has recorded, or nothing.
find_first_stop_request() {
  cat "$run_dir/events/attempt-$attempt".node-* 2>/dev/null | sed -n 's/^stop_request=\(..*\)/\1/p' | head -n 1
}

# Print why a stop was requested. A USR1 that comes long before the time limit announces a preemption.
find_stop_cause() {
  local stop_request
  stop_request=$(find_first_stop_request)
  if [ -s "$run_dir/stop" ]; then
    echo stop
  elif [ -e "$run_dir/requeue" ]; then
    echo requeue
  elif [ "$stop_request" = time-limit ]; then
    echo time-limit
  elif [ "$stop_request" = USR1 ] && time_limit_is_near; then
    echo time-limit
  else
    echo preemption
  fi
}

# Whether Slurm's warning of the time limit, up to a minute early, may have come. The limit may have been shortened since
# the attempt began. If it is unknown: yes.
time_limit_is_near() {
  local now end_time
  [ -n "${job_end_time:-}" ] || return 0
  now=$(date +%s)
  end_time=$(find_job_end)
  [ "$now" -ge $((${end_time:-$job_end_time} - ${signal_lead:-0} - 120)) ]
}

# Whether a node has recorded that its task failed by itself: before a stop request, and before a task of another node.
task_failed_by_itself() {
  local file code stop_request another_node_failed
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(read_value exit_code "$file")
    stop_request=$(read_value stop_request "$file")
    another_node_failed=$(read_value another_node_failed "$file")
    [ "${code:-0}" -ne 0 ] && [ -z "$stop_request$another_node_failed" ] && return 0
  done
  return 1
}

# Print the exit code of the task that failed first by itself, or nothing if no task did.
find_first_failed_code() {
  local file code stop_request another_node_failed ended earliest='' first=''
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(read_value exit_code "$file")
    stop_request=$(read_value stop_request "$file")
    another_node_failed=$(read_value another_node_failed "$file")
    ended=$(read_value ended "$file")
    [ "${code:-0}" -ne 0 ] && [ -z "$stop_request$another_node_failed" ] || continue
    [ -n "$earliest" ] && [ "${ended:-0}" -ge "$earliest" ] || { earliest=${ended:-0} first=$code; }
  done
  echo "$first"
}

# Whether a node's task failed before it was asked to stop, or ended without a record.
task_crashed() {
  local task file code stop_request
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task++)); do
    file=$run_dir/events/attempt-$attempt.node-$task
    code=$(read_value exit_code "$file")
    stop_request=$(read_value stop_request "$file")
    [ -z "$stop_request" ] && [ "$code" != 0 ] && return 0
  done
  return 1
}

# With exit code 93 a training process forbids a restart. Launchers exit with another code, but log this one.
restart_is_forbidden() {
  grep -qs '^exit_code=93$' "$run_dir/events/attempt-$attempt".node-* ||
    grep -qaE 'returned non-zero exit status 93\b|exitcode *: 93\b' "$run_dir/logs/attempt-$attempt.log"
}
