# ---- several-nodes: how many nodes train, over which network, and which of them is absent

# How many of the nodes that Slurm gave train: all of them, unless it chose their number and an optimizer step's batches
# cannot be shared out equally among so many. The others stay idle.
# sets: num_machines
use_nodes() {
  local batches
  num_machines=$SLURM_JOB_NUM_NODES
  [ -n "${CLUSTERRUN_MOST_NODES:-}" ] || return 0
  batches=$((CLUSTERRUN_MOST_NODES * ${ACCELERATE_GRADIENT_ACCUMULATION_STEPS:-1}))
  while [ $((batches % num_machines)) -ne 0 ]; do num_machines=$((num_machines - 1)); done
  [ "$num_machines" -eq "$SLURM_JOB_NUM_NODES" ] ||
    say "$num_machines of the $SLURM_JOB_NUM_NODES nodes are used: $batches batches a node cannot be shared out among more"
}

# Gloo takes the address of the host's own name, which is loopback on Debian: name the interface instead.
network_interface() {
  local found
  found=$(ip -o addr show to "$main_process_ip" 2>/dev/null | awk '{print $2; exit}')
  [ -n "$found" ] || found=$(ip -o route get "$main_process_ip" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  printf '%s' "$found"
}

# From the first node: whose task has not begun a minute after the start. From another node: that it does not reach the
# first one. Training waits for it without a word, for a quarter of an hour by torch's default.
report_absent_nodes() {
  local node never names=()
  trap - TERM USR1
  [ "${num_machines:-$SLURM_JOB_NUM_NODES}" -gt 1 ] || return 0
  exec {never}<> <(:)
  read -r -t 60 -u "$never"  # no child is left behind when this is ended
  mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null)
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    [ -e "$run_dir/events/attempt-$attempt.here-$node" ] || say "${names[node]:-node $node}: no task started after 60 s"
  done
}

# Asked every five seconds in the first minute.
# sets: reached
report_no_connection() {
  local node
  [ "$SLURM_NODEID" -gt 0 ] && [ -z "${reached:-}" ] || return 0
  case $(declare -f launch) in *"accelerate launch"*) ;; *) reached=1 ;; esac
  ! head_node_is_reached || reached=1
  node=$(hostname)
  [ -n "${reached:-}" ] || [ "$looked" -lt 12 ] || say "$node: no connection to $main_process_ip, port $main_process_port, after 60 s"
}

# Whether any process of this node has a connection to where the ranks meet (proc(5), /proc/net/tcp; 01: established).
head_node_is_reached() {
  local port
  printf -v port '%04X' "$main_process_port"
  grep -qE "^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:$port 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Whether the task of another node ended badly before anybody was asked to stop.
another_crashed() {
  local file code asked
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(value exit_code "$file")
    asked=$(value asked "$file")
    [ "${code:-0}" -ne 0 ] && [ -z "$asked" ] && return 0
  done
  return 1
}

# Whether it is no node's fault: all of several nodes failed the check.
no_node_is_fit() {
  local node check
  [ "${num_machines:-$SLURM_JOB_NUM_NODES}" -gt 1 ] || return 1
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    check=$(value check "$run_dir/events/attempt-$attempt.node-$node")
    [ -n "$check" ] || return 1
  done
}
