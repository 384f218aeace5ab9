# ---- where the ranks meet, and how many they are

# Where the ranks meet: the first node's numeric address, and a port of its own.
choose_rendezvous() {
  main_process_ip=$(head_address) || fail "no address of $(hostname) but loopback is found, and the other nodes must reach it"
  main_process_port=$(free_port) || fail "no free port from 10000 to 29999 is found on $(hostname)"
  use_nodes
  [ -n "$num_processes" ] || [ -z "${processes_a_node:-}" ] || num_processes=$((processes_a_node * num_machines))
  [ -n "$num_processes" ] || count_gpus=1 num_processes=$(($(gpus_of_a_node) * num_machines))
  [ "$num_processes" -gt 0 ] || fail "GPUs were asked for, but Slurm gave none to $(hostname)"
  export main_process_ip main_process_port num_machines num_processes count_gpus=${count_gpus:-} MASTER_ADDR=$main_process_ip MASTER_PORT=$main_process_port
}

# How many of the nodes that Slurm gave train: all of them, unless it chose their number and an optimizer step's batches
# cannot be shared out equally among so many. The others stay idle.
use_nodes() {
  local batches
  num_machines=$SLURM_JOB_NUM_NODES
  [ -n "${CLUSTERRUN_MOST_NODES:-}" ] || return 0
  batches=$((CLUSTERRUN_MOST_NODES * ${ACCELERATE_GRADIENT_ACCUMULATION_STEPS:-1}))
  while [ $((batches % num_machines)) -ne 0 ]; do num_machines=$((num_machines - 1)); done
  [ "$num_machines" -eq "$SLURM_JOB_NUM_NODES" ] ||
    say "$num_machines of the $SLURM_JOB_NUM_NODES nodes are used: $batches batches a node cannot be shared out among more"
}

# An address of this machine that its own name, or Slurm, stands for; else its first one.
head_address() {
  local own name address
  own=" $(hostname -I 2>/dev/null || ip -o addr show scope global | awk '{sub("/.*", "", $4); print $4}' | tr '\n' ' ') "
  for name in $(scontrol show node "${SLURMD_NODENAME:-}" 2>/dev/null | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p') "$(hostname)"; do
    for address in $(getent ahostsv4 "$name" | awk '{print $1}'; getent ahosts "$name" | awk '{print $1}'); do
      case $own in *" $address "*) not_loopback "$address" && return ;; esac
    done
  done
  for address in $own; do not_loopback "$address" && return; done
  [ "$SLURM_JOB_NUM_NODES" -eq 1 ] && printf 127.0.0.1
}

not_loopback() {
  case $1 in 127.* | ::1 | fe80:*) return 1 ;; esac
  printf '%s' "$1"
}

# Below the ephemeral range (32768 by default), from job id and attempt, and not listened to.
free_port() {
  local try port
  for try in {0..199}; do
    port=$((10000 + (${SLURM_JOB_ID//[!0-9]/} * 31 + 10#$attempt * 7 + try * 101) % 20000))
    listening "$main_process_ip" "$port" || listening 127.0.0.1 "$port" || { printf '%s' "$port" && return; }
  done
  return 1
}

listening() { (exec 3<> "/dev/tcp/$1/$2") 2>/dev/null; }

# What the job asked for on each node; an exclusive job's first node says how many it has, not how many a task gets.
gpus_of_a_node() {
  if [ -n "${SLURM_GPUS_PER_NODE:-}" ]; then printf '%s' "${SLURM_GPUS_PER_NODE##*:}"; else gpus_here; fi
}

# GPUs that Slurm gave on this node, in whichever way they were asked for.
gpus_here() {
  local list=${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-${CUDA_VISIBLE_DEVICES:-${ROCR_VISIBLE_DEVICES:-}}}}
  if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
    printf '%s' "${SLURM_GPUS_ON_NODE##*:}"
  else
    printf '%s' "$list" | tr ',' '\n' | grep -c .
  fi
}

# A job can have GPUs that its spec does not request: an exclusive node's, or those of the partition's own rule.
warn_of_idle_gpus() {
  case ${SLURM_GPUS_ON_NODE:-0} in *[1-9]*) ;; *) return 0 ;; esac
  say "WARNING: training runs on CPUs, but Slurm gave GPUs to $(hostname): $(gpus_here);" \
    "set slurm.gpus-per-node to use them, or accelerate.use_cpu: true if CPUs are meant"
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
name_the_absent() {
  local node never names=()
  trap - TERM USR1
  [ "${num_machines:-$SLURM_JOB_NUM_NODES}" -gt 1 ] || return 0
  exec {never}<> <(:)
  read -r -t 60 -u "$never"  # no child is left behind when this is ended
  mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null)
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    [ -e "$run_dir/events/attempt-$attempt.here-$node" ] || say "${names[node]:-node $node}: nothing has begun there for 60 s"
  done
}

# Asked every five seconds in the first minute.
name_the_unreached() {
  [ "$SLURM_NODEID" -gt 0 ] && [ -z "${reached:-}" ] || return 0
  case $(declare -f launch) in *"accelerate launch"*) ;; *) reached=1 ;; esac
  ! reaches_the_first || reached=1
  [ -n "${reached:-}" ] || [ "$looked" -lt 12 ] || say "$(hostname): no connection to $main_process_ip, port $main_process_port, for 60 s"
}

# Whether any process of this node has a connection to where the ranks meet (proc(5), /proc/net/tcp; 01: established).
reaches_the_first() {
  local port
  printf -v port '%04X' "$main_process_port"
  grep -qE "^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:$port 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
