# ---- cause: why an attempt ended, from the trainer, Slurm and the nodes' records

# First what the trainer says itself, then what the batch shell was told by Slurm, then how the nodes' tasks ended. A
# word of Slurm's on the step counts where no task has failed by itself, and a node's failure always: it fails the others.
find_end_cause() {
  local outcome killed order asked refused
  outcome=$(value outcome "$run_dir/events/attempt-$attempt.trainer")
  killed=$(find_step_cause)
  order=$(value order "$run_dir/events/attempt-$attempt.hang")
  asked=$(find_first_request)
  refused=$(find_launch_failure)
  if [ "$outcome" = finished ] || [ "$outcome" = no-restart ]; then
    echo "$outcome"
  elif [ "$outcome" = trained ] && all_tasks_succeeded; then
    echo finished
  elif replaced; then
    echo fenced
  elif [ -n "$term_seen" ]; then
    find_kill_cause
  elif [ -n "$killed" ] && { [ "$killed" = node-failure ] || ! task_failed_by_itself; }; then
    echo "$killed"
  elif [ "$outcome" = stopped ]; then
    find_stop_cause
  elif [ "$order" = end ]; then
    if all_tasks_succeeded; then echo finished; else echo hang; fi
  elif grep -qa 'srun: error: Node failure on ' "$run_dir/logs/attempt-$attempt.log"; then
    echo node-failure  # srun's exit code is 0 then
  elif [ "$step_exit" -eq 0 ]; then
    if [ -n "$asked" ]; then
      find_stop_cause
    elif all_tasks_succeeded; then
      echo finished
    else
      echo node-failure
    fi
  elif no_node_is_fit; then
    echo failed-start
  elif [ -n "$refused" ]; then
    echo bad-node
  elif grep -qs '^check=.' "$run_dir/events/attempt-$attempt".node-*; then
    echo bad-node
  elif restart_is_forbidden; then
    echo no-restart
  elif crashed; then
    echo crash
  else
    find_stop_cause
  fi
}

# Why Slurm ends this job: slurmstepd's line on the job, which may come a moment after the signal, else a line on the
# step whose reason is known. No line: a time limit when it is the hour for it, else scancel.
find_kill_cause() {
  local try now cause='' signal_seen=''
  for try in 1 2 3 4 5; do
    cause=$(find_job_cause)
    [ -n "$cause" ] || cause=$(find_step_cause)
    [ -z "$cause" ] || break
    sleep_until_signal 0.2
  done
  now=$(date +%s)
  if [ -z "$cause" ] && [ -n "${job_ends:-}" ] && [ "$now" -ge $((job_ends - 2)) ]; then cause=time-limit; fi
  echo "${cause:-cancel}"
}

# Slurm ends the job by this cause; nothing as long as it does not. Its line is in the job's own log, where the batch
# shell writes nothing any more.
find_job_cause() { tail -c "+$((slurm_log_start + 1))" "$slurm_log" 2>/dev/null | read_causes JOB | head -n 1; }

# Slurm has ended the step by this cause; nothing where it is not known for one. A step is ended without a reason, and
# "DUE TO TASK FAILURE" from 26.05 on, when one of its tasks has failed: the records of the nodes say more of that.
find_step_cause() {
  read_causes STEP < "$run_dir/logs/attempt-$attempt.log" 2>/dev/null | grep -vxE 'cancel|unknown' | head -n 1
}

# read_causes JOB|STEP: slurmstepd's lines to causes, a line each. They begin with its name, with that and its node's, or
# with a time, and name this job: what a script prints, and a line that it quotes, is not Slurm's word.
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

# Where srun could not start a node's task, in its words; nothing else. A node that has just been rebooted refuses so.
find_launch_failure() {
  sed -n 's/.*srun: error: Task launch for .* failed on node \(.*\)/the launch failed on \1/p' \
    "$run_dir/logs/attempt-$attempt.log" 2>/dev/null | head -n 1
}

# Whether every node's task has left word that it ended with 0.
all_tasks_succeeded() {
  local node code
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    code=$(value exit_code "$run_dir/events/attempt-$attempt.node-$node")
    [ "$code" = 0 ] || return 1
  done
}

# The first reason that any node has for the stop; nothing where none was asked for.
find_first_request() { cat "$run_dir/events/attempt-$attempt".node-* 2>/dev/null | sed -n 's/^asked=\(..*\)/\1/p' | head -n 1; }

# What was the stop for? A warning that comes long before the time limit is a preemption's.
find_stop_cause() {
  local asked now
  asked=$(find_first_request)
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
task_failed_by_itself() {
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
restart_is_forbidden() {
  grep -qs '^exit_code=93$' "$run_dir/events/attempt-$attempt".node-* ||
    grep -qaE 'returned non-zero exit status 93\b|exitcode *: 93\b' "$run_dir/logs/attempt-$attempt.log"
}
