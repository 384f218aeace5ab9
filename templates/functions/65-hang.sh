# ---- hang: notices a run that hangs, prints its stacks, and ends its ranks

# Beside srun. It knows no clocks but its own, and counts no time in which it could do nothing itself, because the job
# was suspended or the file server away: a run that is ended though it was well loses more than one that hangs longer.
watch_for_hang() {
  local never began progress='' printed='' last=$SECONDS passed progress_idle_s=0 log_idle_s=0 alone=0 limit why
  trap - TERM
  trap '' USR1
  exec {never}<> <(:)
  began=$(cat "$run_dir/progress" 2>/dev/null)
  while :; do
    read -r -t 5 -u "$never"
    passed=$((SECONDS - last)) last=$SECONDS
    passed=$((passed < 0 ? 0 : passed < 10 ? passed : 10))
    check_log
    check_progress
    if some_tasks_have_ended; then alone=$((alone + passed)); else alone=0; fi
    limit=
    [ "$progress_idle_s" -eq 0 ] || limit=$(patience)
    if [ "$alone" -ge "$(find_srun_limit)" ]; then
      why="srun has waited $alone s after a node's task had ended"
    elif [ -n "$limit" ] && [ "$progress_idle_s" -ge "$limit" ]; then
      why="no sign of life for $progress_idle_s s$(print_last_step)"
    else
      continue
    fi
    ! replaced || return
    end_hang "$why" && return
    progress_idle_s=0 log_idle_s=0 alone=0
  done
}

# What the ranks print, as the batch shell sees it; for a script that tells nothing, its checkpoints too.
# sets: log_idle_s, printed
check_log() {
  local now
  now=$(stat -c %s "$run_dir/logs/attempt-$attempt.log" 2>/dev/null)
  [ "$progress" != "$began" ] || [ -z "${checkpoint_path:-}" ] || now="$now $(find_newest_checkpoint)"
  if [ "$now" = "$printed" ]; then log_idle_s=$((log_idle_s + passed)); else printed=$now log_idle_s=0; fi
}

# An answer that is none, of a file server, says nothing.
# sets: progress, progress_idle_s
check_progress() {
  local now
  now=$(cat "$run_dir/progress" 2>/dev/null)
  if [ -z "$now" ] && [ -n "$began$progress" ]; then
    return
  elif [ "$now" = "${progress:-$began}" ]; then
    progress=$now progress_idle_s=$((progress_idle_s + passed))
  else
    progress=$now progress_idle_s=0
  fi
}

told() { sed -n "s/^$1=//p" <<< "$progress"; }

print_last_step() {
  local step
  step=$(told step)
  [ "$progress" = "$began" ] || echo ", after step $step, amid: $(told doing)"
}

# How many seconds of silence are too many; nothing where nobody can say. The trainer says how long its steps take, and
# that it does something else than steps. As long as the ranks print, four times as long; and twice as long for each
# time that this run has hung before.
patience() {
  local trained times
  [ "$progress" != "$began" ] || { find_limit_without_progress; return; }
  trained=$(told patience)
  [ "${trained:-0}" -gt 0 ] || return 0
  if [ "$hang" != auto ]; then
    if [ "$(told doing)" = step ] || [ "$hang" -gt "$trained" ]; then trained=$hang; fi
    echo "$trained"
    return
  fi
  times=$(grep -ls '^cause=hang$' "$run_dir"/events/attempt-*.end | wc -l)
  trained=$((trained << (times < 5 ? times : 5)))
  if [ "$log_idle_s" -ge "$trained" ]; then echo "$trained"; else echo $((4 * trained)); fi
}

# A script that does not use the training library has its log, and its checkpoints where they are known.
find_limit_without_progress() {
  [ "$hang" = auto ] || [ -z "${checkpoint_path:-}" ] || [ "$log_idle_s" -lt "$hang" ] || echo "$hang"
}

# Slurm ends the others' tasks when one has failed, within KillWait and what a process takes that cannot be killed.
find_srun_limit() { at_most 300; }

# What the user is willing to wait, and no more than so many seconds.
at_most() { if [ "$hang" = auto ] || [ "$hang" -gt "$1" ]; then echo "$1"; else echo "$hang"; fi; }

# Whether srun should be about to return: the task of a node has failed, or those of all nodes have ended.
some_tasks_have_ended() {
  local node code ended=0
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    [ -e "$run_dir/events/attempt-$attempt.node-$node" ] || continue
    code=$(value exit_code "$run_dir/events/attempt-$attempt.node-$node")
    [ "${code:-0}" = 0 ] || return 0
    ended=$((ended + 1))
  done
  [ "$ended" -eq "${num_machines:-$SLURM_JOB_NUM_NODES}" ]
}

# end_hang WHY: first every rank's stacks, then the end of the step; not where it turns out that it goes on.
end_hang() {
  local before=$progress lost='' file=$run_dir/events/attempt-$attempt.hang
  say "$1; collecting the stacks of all ranks"
  request_stacks
  check_progress
  if process_is_stopped_here || grep -qs '^stopped=' "$run_dir/events/attempt-$attempt".stacks-*; then
    say "the ranks are stopped (SIGSTOP, or a debugger): this is no hang"
  elif [ "$before" != "$progress" ] && ! some_tasks_have_ended; then
    say "it makes progress again: no hang"
  else
    printf '%s\n' order=end reason="$1${lost:+; no answer from$lost}" > "$file"
    say "hang detected: terminating${lost:+; no answer from$lost}"
    if [ -n "$lost" ] || some_tasks_have_ended; then end_srun 15; else end_srun 60; fi
    return 0
  fi
  : > "$file"
  rm -f "$run_dir/events/attempt-$attempt".stacks-*
  return 1
}

# The files of the answers are there before anybody asks: a file server may hide new ones for a minute.
# sets: lost
request_stacks() {
  local node try tries answer missing
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    (umask 077 && : > "$run_dir/events/attempt-$attempt.stacks-$node")
  done
  echo order=stacks > "$run_dir/events/attempt-$attempt.hang"
  tries=$(($(at_most 60) / 5))
  for ((try = 0; try <= tries; try++)); do
    missing=
    for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do answered "$node" || missing="$missing $node"; done
    if [ -z "$missing" ] || [ "$try" -eq "$tries" ]; then break; fi
    read -r -t 5 -u "$never"
  done
  for answer in "$run_dir/events/attempt-$attempt".stacks-*; do grep -avE '^(answered|stopped)=' "$answer"; done
  for node in $missing; do lost="$lost $(find_node_name "$node")"; done
}

answered() {
  [ -n "$(value answered "$run_dir/events/attempt-$attempt.stacks-$1")" ] || [ -e "$run_dir/events/attempt-$attempt.node-$1" ]
}

find_node_name() {
  local name
  name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null | sed -n "$(($1 + 1))p")
  printf '%s' "${name:-node $1}"
}

# The nodes end their ranks, and srun returns; where a node is gone it never would.
end_srun() {
  local seconds
  for ((seconds = 0; seconds < $1; seconds += 5)); do
    read -r -t 5 -u "$never"
    kill -0 "$step" 2>/dev/null || return
  done
  say "srun does not return: terminating it"
  kill -KILL "$step"
}

# Whether a process of this run on this machine is stopped, whose node's shell may be, too, and cannot answer then.
process_is_stopped_here() {
  local file
  while read -r file; do
    grep -qszxF "CLUSTERRUN_RUN_ID=$run_id" "${file%status}environ" && return 0
  done < <(grep -lsE '^State:[[:space:]]*[Tt] ' /proc/[0-9]*/status)
  return 1
}

is_stopped() { grep -qs '^State:[[:space:]]*[Tt] ' "/proc/$1/status"; }

# On each node, beside `watch`: what the batch shell asks for. Its file is opened afresh, for NFS to look at the server.
follow_orders() {
  local never order told=
  trap '' TERM USR1 PIPE
  exec {never}<> <(:)
  while read -r -t 5 -u "$never" || kill -0 $$ 2>/dev/null; do
    order=
    read -r order < "$run_dir/events/attempt-$attempt.hang"
    [ -n "$order" ] || told=
    if [ "$order" = order=stacks ] && [ -z "$told" ]; then
      told=1
      { dump_stacks; echo answered=yes; } > "$run_dir/events/attempt-$attempt.stacks-$SLURM_NODEID" 2>&1
    elif [ "$order" = order=end ]; then
      end_trainers
      return
    fi
  done 2>/dev/null
}

# The stacks of every rank here, and of its helpers (data loading). The file that a rank has left is the sign that it
# can be asked (clusterrun/training/stacks.py): the signal would end another process.
dump_stacks() {
  local file process rank other
  for other in $(descendants "$launcher"); do
    ! is_stopped "$other" || echo "stopped=$other"
  done
  for file in "$node_dir"/stacks-*; do
    [ -e "$file" ] || { say "$(hostname): no rank here can print its stacks" && return; }
    process=${file##*-} rank=${file#"$node_dir"/stacks-} rank=${rank%-*}
    for other in "$process" $(descendants "$process" | head -n 16); do
      handles_signal_57 "$other" || continue
      printf '\n---- rank %s on %s, process %s\n' "$rank" "$(hostname)" "$other" >> "$file"
      kill -s RTMAX-7 "$other"
      read -r -t 0.2 -u "$never"
    done
    cat "$file"
    : > "$file"
  done
}

# Whether a process has a handler for SIGRTMAX-7, which is signal 57 on Linux: proc(5), SigCgt
handles_signal_57() {
  local caught
  caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
  [ $((16#${caught:-0} >> 56 & 1)) -eq 1 ]
}
