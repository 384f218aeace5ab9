# ---- node: the task on a node, which receives the signals, and its child, the launcher

# The task on a node, or each of its tasks with launcher: srun. It is slurmstepd's own child, the only process that
# receives Slurm's signals with cgroup tracking.
# sets: node_dir
run_node_task() {
  local launcher watcher order_follower host now stop_handled stop_request='' another_node_failed='' signaller=''
  host=$(hostname)
  make_temporary_folder
  node_dir=$(mktemp -d "${TMPDIR:-/tmp}/clusterrun.XXXXXXXX") || exit 1
  export node_dir CLUSTERRUN_STOP_FILE=$node_dir/stop
  trap 'request_stop TERM' TERM
  trap 'request_stop USR1' USR1
  (umask 077 && : > "$run_dir/events/attempt-$attempt.here-$SLURM_PROCID")
  write_configs
  if [ "$num_machines" -gt 1 ] && [ -z "${GLOO_SOCKET_IFNAME:-}" ]; then
    GLOO_SOCKET_IFNAME=$(find_network_interface)
    [ -z "$GLOO_SOCKET_IFNAME" ] || export GLOO_SOCKET_IFNAME
  fi
  { node_is_fit && gpu_count_matches; } || { rm -rf "$node_dir"; exit 1; }
  # torchelastic must not end the workers on a signal: they check for the stop file, save a checkpoint, and exit.
  (
    # Children inherit ignored signals, and scripts end their helpers with TERM: so ignore TERM only if Slurm's would
    # reach them all.
    trap '' USR1 USR2
    [ -z "$ignore_term" ] || trap '' TERM
    launch_for_user
  ) &
  launcher=$!
  watch_for_stop &
  watcher=$!
  follow_orders &
  order_follower=$!
  check_torch &
  disown "$watcher" "$order_follower" $!  # bash would log their end
  trap '' PIPE  # slurmstepd, which reads this shell's output, may have been killed
  wait_for_exit "$launcher"
  kill_leftover_processes
  # Fenced: after a nonzero exit srun would make Slurm end the step, and a later attempt has a step of that number now.
  ! attempt_is_replaced || { kill -KILL "$watcher" "$order_follower" ${signaller:+"$signaller"}; rm -rf "$node_dir"; exit 0; }
  # `check_torch` has recorded the end of this task
  [ ! -e "$node_dir/unfit" ] || { kill -KILL "$watcher" "$order_follower" ${signaller:+"$signaller"}; rm -rf "$node_dir"; exit 1; }
  now=$(date +%s)
  stop_handled=$(find_stop_handling)
  write_record "$run_dir/events/attempt-$attempt.node-$SLURM_PROCID" node="$host" name="${SLURMD_NODENAME:-}" \
    exit_code="$child_exit_code" stop_request="$stop_request" stop_handled="$stop_handled" \
    another_node_failed="$another_node_failed" ended="$now"
  kill -KILL "$watcher" "$order_follower" ${signaller:+"$signaller"} 2>/dev/null  # they may have exited already
  rm -rf "$node_dir"
  exit "$child_exit_code"
}

# Replace this shell by one that runs `launch` for the user.
launch_for_user() {
  local program name names value
  program=$(declare -p member_args 2>/dev/null; declare -f launch check_setup_line)
  case $launch_kind:$program in
    torchrun:* | srun:* | *"accelerate launch"*) ;;
    # a shell cannot trap a signal that was ignored when it started, and that shell runs the user's command
    *) [ -z "${stop_signal:-}" ] || { trap - "$stop_signal" && program="trap : $stop_signal"$'\n'$program; } ;;
  esac
  names=("node_dir=$node_dir" "CLUSTERRUN_STOP_FILE=$CLUSTERRUN_STOP_FILE" PET_SIGNALS_TO_HANDLE=SIGINT
    "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-5}")
  for value in NNODES="$num_machines" NODE_RANK="$SLURM_NODEID" NPROC_PER_NODE="$((num_processes / num_machines))"; do
    name=${value%%=*}
    [ -n "${!name:-}" ] || names+=("$value")  # a value of the user's has precedence
  done
  [ -z "${TMPDIR:-}" ] || names+=("TMPDIR=$TMPDIR")
  [ -z "${GLOO_SOCKET_IFNAME:-}" ] || names+=("GLOO_SOCKET_IFNAME=$GLOO_SOCKET_IFNAME")
  run_for_user "$program"$'\nlaunch' "${names[@]}"
}

# check_setup_line CODE TEXT: runs in the shell of `launch`
check_setup_line() {
  [ "$1" -eq 0 ] || { echo "clusterrun: $HOSTNAME: exit code $1 from $2; append || : to the line to ignore it" >&2; exit "$1"; }
}

# The user's TMPDIR is often a folder that exists on some machines only.
make_temporary_folder() {
  [ -n "${TMPDIR:-}" ] && { [ ! -d "$TMPDIR" ] || [ ! -w "$TMPDIR" ]; } || return 0
  mkdir -p "$TMPDIR" 2>/dev/null && return
  log_message "$host: cannot create TMPDIR, $TMPDIR; using /tmp"
  TMPDIR=/tmp
}

# A signal is a request. TERM can also come from srun because the task on another node failed: then no rank can save any
# longer, and the training processes here might wait for the dead ones for half an hour.
# sets: another_node_failed, signal_seen, signaller, stop_request
request_stop() {
  signal_seen=1
  if [ "$1" = TERM ] && another_node_crashed; then
    log_message "$host: another task has failed; terminating local ranks"
    another_node_failed=1
    kill_training_processes
    return
  fi
  [ -n "$stop_request" ] || stop_request=$(cat "$node_dir/stop_request" 2>/dev/null || echo "$1")
  [ ! -e "$CLUSTERRUN_STOP_FILE" ] || return 0  # Slurm repeats its TERM
  log_message "$host: $stop_request: asking the training processes to save and exit"
  : > "$CLUSTERRUN_STOP_FILE"
  note_handled_signal "$1"
  [ -n "${stop_signal:-}" ] || return 0
  signal_training_processes &
  signaller=$!
  disown "$signaller"
}

# Kill the launcher and all its descendants, also those in other sessions: a rank that waits for a dead one handles no
# other signal.
kill_training_processes() {
  local processes
  processes=$(list_descendants "$launcher")
  # shellcheck disable=SC2086
  kill -KILL $processes "$launcher" 2>/dev/null  # some may have exited already
}

# Kill what a dead launcher has left of this attempt on this node, also in sessions of its own: it would train on without a
# job. With cgroup tracking Slurm does so itself when the task exits.
kill_leftover_processes() {
  local try files file processes
  for try in 1 2 3; do
    files=$(env -u CLUSTERRUN_STOP_FILE grep -lszxF "CLUSTERRUN_STOP_FILE=$node_dir/stop" /proc/[0-9]*/environ 2>/dev/null)
    [ -n "$files" ] || return 0
    processes=
    for file in $files; do
      file=${file#/proc/}
      processes="$processes ${file%/environ}"
    done
    # shellcheck disable=SC2086
    kill -KILL $processes 2>/dev/null  # some may have exited already
  done
}

list_descendants() {
  local child children
  children=$(list_children "$1")
  for child in $children; do
    echo "$child"
    list_descendants "$child"
  done
}

# "/proc/PID/task/TID/children", proc(5)
list_children() { cat "/proc/$1/task"/*/children 2>/dev/null; }

# Request the stop before the time limit, early enough for the longest save so far, or when a person wrote to `stop`.
# Slurm's own --signal, which comes up to a minute early or late, is the backstop.
# sets: job_end_time
watch_for_stop() {
  local never now lead_s checks=0
  trap - TERM USR1
  exec {never}<> <(:)
  while :; do
    read -r -t 5 -u "$never"
    node_task_is_alive || { kill_training_processes; kill_leftover_processes; return; }
    [ $((checks += 1)) -gt 12 ] || report_no_connection
    if [ -s "$run_dir/stop" ]; then
      echo stop > "$node_dir/stop_request"
    elif [ -e "$run_dir/requeue" ]; then
      echo requeue > "$node_dir/stop_request"
    elif [ -n "${job_end_time:-}" ]; then
      printf -v now '%(%s)T'
      lead_s=$(compute_stop_lead)
      [ $((job_end_time - now)) -le "$lead_s" ] || continue
      job_end_time=$(find_job_end)  # the limit may have been raised meanwhile
      [ $((${job_end_time:-now + 86400} - now)) -le "$lead_s" ] || continue
      echo time-limit > "$node_dir/stop_request"
    else
      continue
    fi
    kill -USR1 $$
    return
  done
}

# Whether the shell that started this subshell is alive: its number may be another process's by now.
node_task_is_alive() {
  local parent
  read -r _ _ _ parent _ < "/proc/$BASHPID/stat" && [ "$parent" = "$$" ]
}

# Print the lead from the spec plus twice the longest save of this run: a full disk is slower than an empty one.
compute_stop_lead() {
  local longest_s
  longest_s=$(read_value longest "$run_dir/saves")
  longest_s=${longest_s%%.*}
  echo $((${signal_lead:-0} + 2 * ${longest_s:-0}))
}

gpu_count_matches() {
  local gpus
  [ -n "$one_rank_per_gpu" ] || return 0
  gpus=$(count_local_gpus)
  [ $((gpus * num_machines)) -ne "$num_processes" ] || return 0
  log_message "$host has $gpus GPUs, but the first node has $((num_processes / num_machines));" \
    "request the same number on each node with slurm.gpus-per-node, or equal nodes"
  return 1
}
