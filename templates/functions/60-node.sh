# ---- node: the task on a node, which hears the signals, and the launcher below it

# The task of a node. It is slurmstepd's own child, the only one that hears Slurm under cgroup tracking.
# sets: node_dir
on_node() {
  local launcher watcher obedient host now asked='' followed=''
  host=$(hostname)
  node_dir=$(mktemp -d "${TMPDIR:-/tmp}/clusterrun.XXXXXXXX") || exit 1
  export node_dir CLUSTERRUN_STOP_FILE=$node_dir/stop
  trap 'request_stop TERM' TERM
  trap 'request_stop USR1' USR1
  (umask 077 && : > "$run_dir/events/attempt-$attempt.here-$SLURM_NODEID")
  write_configs
  if [ "$num_machines" -gt 1 ] && [ -z "${GLOO_SOCKET_IFNAME:-}" ]; then
    GLOO_SOCKET_IFNAME=$(network_interface)
    [ -z "$GLOO_SOCKET_IFNAME" ] || export GLOO_SOCKET_IFNAME
  fi
  { fits && gpu_count_fits; } || { rm -rf "$node_dir"; exit 1; }
  # torchelastic must not end the workers on a signal; they look for the stop file, save, and leave by themselves.
  (
    # Who ignores a signal starts children that ignore it; so TERM, by which scripts end their helpers, only where it
    # would reach them all.
    trap '' USR1 USR2
    [ -z "$deaf_to_term" ] || trap '' TERM
    case $(declare -f launch) in
      *"accelerate launch"*) ;;
      # a shell cannot trap a signal that it found ignored, and this one runs the command
      *) [ -z "${stop_signal:-}" ] || trap : "$stop_signal" ;;
    esac
    export PET_SIGNALS_TO_HANDLE=SIGINT TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-5}
    launch
  ) &
  launcher=$!
  watch &
  watcher=$!
  follow_orders &
  obedient=$!
  disown "$watcher" "$obedient"  # their end is no news for the log
  trap '' PIPE  # whoever reads what this shell says may be dead: a killed slurmstepd
  wait_for "$launcher"
  # Fenced. At a bad exit srun would have Slurm end the step, which by its number is the newer attempt's by now.
  ! replaced || { kill -KILL "$watcher" "$obedient"; rm -rf "$node_dir"; exit 0; }
  now=$(date +%s)
  record "$run_dir/events/attempt-$attempt.node-$SLURM_NODEID" \
    node="$host" name="${SLURMD_NODENAME:-}" exit_code="$waited" asked="$asked" followed="$followed" ended="$now"
  kill -KILL "$watcher" "$obedient" 2>/dev/null  # they may have ended by themselves
  rm -rf "$node_dir"
  exit "$waited"
}

# A signal is a request. TERM can also be srun's, because another node's task has failed: then nobody can save any
# more, and the trainers here may wait for the dead for half an hour.
# sets: asked, followed, signal_seen
request_stop() {
  signal_seen=1
  if [ "$1" = TERM ] && another_crashed; then
    say "$host: a task on another node has failed; terminating local ranks"
    followed=1
    end_trainers
    return
  fi
  [ -n "$asked" ] || asked=$(cat "$node_dir/asked" 2>/dev/null || echo "$1")
  [ ! -e "$CLUSTERRUN_STOP_FILE" ] || return 0  # Slurm repeats its TERM
  say "$host: $asked: asking the training processes to save and exit"
  : > "$CLUSTERRUN_STOP_FILE"
  [ -z "${stop_signal:-}" ] || signal_trainers "$stop_signal"
}

# All below the launcher, those in sessions of their own, too: a rank that waits for a dead one hears no other signal.
end_trainers() {
  local below
  below=$(descendants "$launcher")
  # shellcheck disable=SC2086
  kill -KILL $below "$launcher" 2>/dev/null  # some may have ended by themselves
}

descendants() {
  local child below
  below=$(children "$1")
  for child in $below; do
    echo "$child"
    descendants "$child"
  done
}

# "/proc/PID/task/TID/children", proc(5)
children() { cat "/proc/$1/task"/*/children 2>/dev/null; }

# Asks for the stop before the time limit, early enough for the longest save so far, and when a person wrote into
# `stop`. Slurm's own --signal, which comes up to a minute early or late, is the backstop.
# sets: job_ends
watch() {
  local never now lead looked=0
  trap - TERM USR1
  mkfifo "$node_dir/never"
  exec {never}<> "$node_dir/never"
  while :; do
    read -r -t 5 -u "$never"
    [ $((looked += 1)) -gt 12 ] || report_no_connection
    if [ -s "$run_dir/stop" ]; then
      echo stop > "$node_dir/asked"
    elif [ -e "$run_dir/requeue" ]; then
      echo requeue > "$node_dir/asked"
    elif [ -n "${job_ends:-}" ]; then
      printf -v now '%(%s)T'
      lead=$(find_save_lead)
      [ $((job_ends - now)) -le "$lead" ] || continue
      job_ends=$(find_job_end)  # the limit may have been raised meanwhile
      [ $((${job_ends:-now + 86400} - now)) -le "$lead" ] || continue
      echo time-limit > "$node_dir/asked"
    else
      continue
    fi
    kill -USR1 $$
    return
  done
}

# The lead that the spec asks for, and twice the longest save of this run: a full disk is slower than an empty one.
find_save_lead() {
  local longest
  longest=$(value longest "$run_dir/saves")
  longest=${longest%%.*}
  echo $((${signal_lead:-0} + 2 * ${longest:-0}))
}

gpu_count_fits() {
  local gpus
  [ -n "$count_gpus" ] || return 0
  gpus=$(gpus_here)
  [ $((gpus * num_machines)) -ne "$num_processes" ] || return 0
  say "$host has $gpus GPUs, and $num_processes processes over $num_machines nodes do not fit: ask for gpus-per-node"
  return 1
}
