# ---- hang: detects a run that hangs, prints its stack traces, and terminates its ranks

# Runs in parallel with srun. It uses no clock but its own, and does not count time in which it could not run itself,
# because the job was suspended or the file server unavailable: terminating a healthy run by mistake costs more than
# detecting a hang late.
watch_for_hang() {
  local never progress_at_start progress='' log_state='' last_s=$SECONDS elapsed_s progress_idle_s=0 log_idle_s=0
  local srun_wait_s=0 limit_s reason
  trap - TERM
  trap '' USR1
  exec {never}<> <(:)
  progress_at_start=$(cat "$run_dir/progress" 2>/dev/null)
  while :; do
    read -r -t 5 -u "$never"
    elapsed_s=$((SECONDS - last_s)) last_s=$SECONDS
    elapsed_s=$((elapsed_s < 0 ? 0 : elapsed_s < 10 ? elapsed_s : 10))
    check_log
    check_progress
    if srun_should_have_returned; then srun_wait_s=$((srun_wait_s + elapsed_s)); else srun_wait_s=0; fi
    limit_s=
    [ "$progress_idle_s" -eq 0 ] || limit_s=$(find_idle_limit)
    if [ "$srun_wait_s" -ge "$(find_srun_limit)" ]; then
      reason="srun has not returned $srun_wait_s s after a node's task ended"
    elif [ -n "$limit_s" ] && [ "$progress_idle_s" -ge "$limit_s" ]; then
      reason="no progress for $progress_idle_s s$(print_last_step)"
    else
      continue
    fi
    ! attempt_is_replaced || return
    end_hang "$reason" && return
    progress_idle_s=0 log_idle_s=0 srun_wait_s=0
  done
}

# Measure how long the ranks have printed nothing; if the script reports no progress, a new checkpoint counts as output.
# sets: log_idle_s, log_state
check_log() {
  local now
  now=$(stat -c %s "$run_dir/logs/attempt-$attempt.log" 2>/dev/null)
  [ "$progress" != "$progress_at_start" ] || [ -z "${checkpoint_path:-}" ] || now="$now $(find_newest_checkpoint)"
  if [ "$now" = "$log_state" ]; then log_idle_s=$((log_idle_s + elapsed_s)); else log_state=$now log_idle_s=0; fi
}

# Measure how long the progress file has not changed. An empty read, from a file server that fails, does not count.
# sets: progress, progress_idle_s
check_progress() {
  local now
  now=$(cat "$run_dir/progress" 2>/dev/null)
  if [ -z "$now" ] && [ -n "$progress_at_start$progress" ]; then
    return
  elif [ "$now" = "${progress:-$progress_at_start}" ]; then
    progress=$now progress_idle_s=$((progress_idle_s + elapsed_s))
  else
    progress=$now progress_idle_s=0
  fi
}

read_progress_value() { sed -n "s/^$1=//p" <<< "$progress"; }

print_last_step() {
  local step
  step=$(read_progress_value step)
  [ "$progress" = "$progress_at_start" ] || echo " after step $step (during $(read_progress_value doing))"
}

# Print after how many seconds without progress the run hangs, or nothing if that is unknown. The training process
# reports a limit that fits the length of its steps, or what it does in place of steps. The limit is four times as long
# while the ranks print, and doubles for each earlier hang of this run.
find_idle_limit() {
  local limit_s hangs
  [ "$progress" != "$progress_at_start" ] || { find_limit_without_progress; return; }
  limit_s=$(read_progress_value patience)
  [ "${limit_s:-0}" -gt 0 ] || return 0
  if [ "$hang" != auto ]; then
    if [ "$(read_progress_value doing)" = step ] || [ "$hang" -gt "$limit_s" ]; then limit_s=$hang; fi
    echo "$limit_s"
    return
  fi
  hangs=$(grep -ls '^cause=hang$' "$run_dir"/events/attempt-*.end | wc -l)
  limit_s=$((limit_s << (hangs < 5 ? hangs : 5)))
  if [ "$log_idle_s" -ge "$limit_s" ]; then echo "$limit_s"; else echo $((4 * limit_s)); fi
}

# A script without the training library is judged by its log, and by its checkpoints if their path is known.
find_limit_without_progress() {
  [ "$hang" = auto ] || [ -z "${checkpoint_path:-}" ] || [ "$log_idle_s" -lt "$hang" ] || echo "$hang"
}

# When a task has failed, Slurm ends the others within KillWait, plus the time of a process that cannot be killed yet.
find_srun_limit() { cap_at_user_limit 300; }

# cap_at_user_limit SECONDS: print SECONDS, or the limit from the spec if that is shorter
cap_at_user_limit() { if [ "$hang" = auto ] || [ "$hang" -gt "$1" ]; then echo "$1"; else echo "$hang"; fi; }

# Whether srun should be about to return: a node's task has failed, or those of all nodes have ended.
srun_should_have_returned() {
  local task code ended_tasks=0
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task++)); do
    [ -e "$run_dir/events/attempt-$attempt.node-$task" ] || continue
    code=$(read_value exit_code "$run_dir/events/attempt-$attempt.node-$task")
    [ "${code:-0}" = 0 ] || return 0
    ended_tasks=$((ended_tasks + 1))
  done
  [ "$ended_tasks" -eq "${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}" ]
}

# end_hang REASON: collect the stack traces of all ranks, then end the step; return 1 if the run turns out not to hang.
end_hang() {
  local progress_before=$progress silent_nodes='' file=$run_dir/events/attempt-$attempt.hang
  log_message "$1; collecting the stack traces of all ranks"
  request_stacks
  check_progress
  if local_process_is_stopped || grep -qs '^stopped=' "$run_dir/events/attempt-$attempt".stacks-*; then
    log_message "the ranks are stopped (SIGSTOP or a debugger): not a hang"
  elif [ "$progress_before" != "$progress" ] && ! srun_should_have_returned; then
    log_message "training makes progress again: not a hang"
  else
    printf '%s\n' order=end reason="$1${silent_nodes:+; no response from$silent_nodes}" > "$file"
    log_message "hang detected: terminating${silent_nodes:+; no response from$silent_nodes}"
    if [ -n "$silent_nodes" ] || srun_should_have_returned; then end_srun 15; else end_srun 60; fi
    return 0
  fi
  : > "$file"
  rm -f "$run_dir/events/attempt-$attempt".stacks-*
  return 1
}

# Create the files for the answers before requesting them: a file server may hide new files for a minute.
# sets: silent_nodes
request_stacks() {
  local task try tries answer missing name
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task++)); do
    (umask 077 && : > "$run_dir/events/attempt-$attempt.stacks-$task")
  done
  echo order=stacks > "$run_dir/events/attempt-$attempt.hang"
  tries=$(($(cap_at_user_limit 60) / 5))
  for ((try = 0; try <= tries; try++)); do
    missing=
    for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task++)); do
      task_has_answered "$task" || missing="$missing $task"
    done
    if [ -z "$missing" ] || [ "$try" -eq "$tries" ]; then break; fi
    read -r -t 5 -u "$never"
  done
  for answer in "$run_dir/events/attempt-$attempt".stacks-*; do grep -avE '^(answered|stopped)=' "$answer"; done
  for task in $missing; do
    name=$(find_node_name $((task / ${tasks_per_node:-1})))
    [[ "$silent_nodes " = *" $name "* ]] || silent_nodes="$silent_nodes $name"
  done
}

task_has_answered() {
  [ -n "$(read_value answered "$run_dir/events/attempt-$attempt.stacks-$1")" ] ||
    [ -e "$run_dir/events/attempt-$attempt.node-$1" ]
}

find_node_name() {
  local name
  name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null | sed -n "$(($1 + 1))p")
  printf '%s' "${name:-node $1}"
}

# end_srun SECONDS: wait for srun, which returns when the nodes have ended their ranks; if a node is gone, kill it.
end_srun() {
  local seconds
  for ((seconds = 0; seconds < $1; seconds += 5)); do
    read -r -t 5 -u "$never"
    kill -0 "$step" 2>/dev/null || return
  done
  log_message "srun does not return; terminating it"
  kill -KILL "$step"
}

# Whether a process of this run on this machine is stopped. The node shell may be stopped, too, and cannot answer then.
local_process_is_stopped() {
  local file
  while read -r file; do
    grep -qszxF "CLUSTERRUN_RUN_ID=$run_id" "${file%status}environ" && return 0
  done < <(grep -lsE '^State:[[:space:]]*[Tt] ' /proc/[0-9]*/status)
  return 1
}

process_is_stopped() { grep -qs '^State:[[:space:]]*[Tt] ' "/proc/$1/status"; }

# Runs on each node: follow the orders of the batch shell. Their file is reopened each time, so that NFS asks the server.
follow_orders() {
  local never order stacks_dumped=
  trap '' TERM USR1 PIPE
  exec {never}<> <(:)
  while read -r -t 5 -u "$never" || node_task_is_alive; do
    order=
    read -r order < "$run_dir/events/attempt-$attempt.hang"
    [ -n "$order" ] || stacks_dumped=
    if [ "$order" = order=stacks ] && [ -z "$stacks_dumped" ]; then
      stacks_dumped=1
      { dump_stacks; echo answered=yes; } > "$run_dir/events/attempt-$attempt.stacks-$SLURM_PROCID" 2>&1
    elif [ "$order" = order=end ]; then
      kill_training_processes
      return
    fi
  done 2>/dev/null
}

# Print the stack traces of all ranks on this node and of their helpers (data loading). Only a rank that has created its
# file handles the signal (clusterrun/training/stopping/requests.py); it would kill another process.
dump_stacks() {
  local file process rank other
  for other in $(list_descendants "$launcher"); do
    ! process_is_stopped "$other" || echo "stopped=$other"
  done
  for file in "$node_dir"/stacks-*; do
    [ -e "$file" ] || { log_message "$(hostname): no rank can print its stack traces" && return; }
    process=${file##*-} rank=${file#"$node_dir"/stacks-} rank=${rank%-*}
    for other in "$process" $(list_descendants "$process" | head -n 16); do
      catches_signal "$other" 57 || continue
      printf '\n---- rank %s on %s, process %s\n' "$rank" "$(hostname)" "$other" >> "$file"
      kill -s RTMAX-7 "$other"
      read -r -t 0.2 -u "$never"
    done
    cat "$file"
    : > "$file"
  done
}
