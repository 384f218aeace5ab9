# ---- several-nodes: chooses how many nodes train and over which network, and reports absent nodes

# Choose how many of the allocated nodes train: all of them, unless Slurm chose their number and the batches of an
# optimizer step cannot be divided equally among them. The others stay idle.
# sets: num_machines
choose_node_count() {
  local batches
  num_machines=$SLURM_JOB_NUM_NODES
  [ -n "${CLUSTERRUN_MOST_NODES:-}" ] || return 0
  batches=$((CLUSTERRUN_MOST_NODES * ${ACCELERATE_GRADIENT_ACCUMULATION_STEPS:-1}))
  while [ $((batches % num_machines)) -ne 0 ]; do num_machines=$((num_machines - 1)); done
  [ "$num_machines" -eq "$SLURM_JOB_NUM_NODES" ] ||
    log_message "using $num_machines of $SLURM_JOB_NUM_NODES nodes: the $batches batches of an optimizer step" \
      "cannot be divided equally among more"
}

# Gloo uses the address of the host name, which is loopback on Debian: name the interface instead.
find_network_interface() {
  local interface
  interface=$(ip -o addr show to "$main_process_ip" 2>/dev/null | awk '{print $2; exit}')
  [ -n "$interface" ] || interface=$(ip -o route get "$main_process_ip" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  printf '%s' "$interface"
}

# On the first node: report the nodes whose task has not started within a minute. Training silently waits for them, for
# a quarter of an hour by torch's default.
report_absent_nodes() {
  local task never names=()
  trap - TERM USR1
  [ "${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}" -gt 1 ] || return 0
  exec {never}<> <(:)
  read -r -t 60 -u "$never"  # unlike `sleep`, leaves no child behind when this shell is killed
  mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null)
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task += ${tasks_per_node:-1})); do
    [ -e "$run_dir/events/attempt-$attempt.here-$task" ] ||
      log_message "${names[task / ${tasks_per_node:-1}]:-node $((task / ${tasks_per_node:-1}))}: no task started after 60 s"
  done
}

# Runs on the other nodes every five seconds in the first minute: report a missing connection to the first node.
# sets: head_node_connected
report_no_connection() {
  local node text
  [ "$SLURM_NODEID" -gt 0 ] && [ -z "${head_node_connected:-}" ] || return 0
  text=$(declare -f launch)
  case $launch_kind:$text in torchrun:* | *"accelerate launch"*) ;; *) head_node_connected=1 ;; esac
  ! is_connected_to_head_node || head_node_connected=1
  node=$(hostname)
  [ -n "${head_node_connected:-}" ] || [ "$checks" -lt 12 ] ||
    log_message "$node: no connection to $main_process_ip, port $main_process_port, after 60 s"
}

# Whether any process on this node is connected to where the ranks meet (proc(5), /proc/net/tcp; 01: established).
is_connected_to_head_node() {
  local port
  printf -v port '%04X' "$main_process_port"
  grep -qE "^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:$port 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Whether another task failed before it was asked to stop.
another_node_crashed() {
  local file code stop_request
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(read_value exit_code "$file")
    stop_request=$(read_value stop_request "$file")
    [ "${code:-0}" -ne 0 ] && [ -z "$stop_request" ] && return 0
  done
  return 1
}

# Whether the check failed on each of several nodes: then the nodes are not the cause.
all_nodes_are_unfit() {
  local task check
  [ "${num_machines:-$SLURM_JOB_NUM_NODES}" -gt 1 ] || return 1
  for ((task = 0; task < ${num_tasks:-${num_machines:-$SLURM_JOB_NUM_NODES}}; task += ${tasks_per_node:-1})); do
    check=$(read_value check "$run_dir/events/attempt-$attempt.node-$task")
    [ -n "$check" ] || return 1
  done
}
