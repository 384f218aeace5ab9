# ---- rendezvous: the address and port at which the ranks meet, and how many ranks there are

# Where the ranks meet: the first node's numeric address, and a port of its own.
# sets: count_gpus, main_process_ip, main_process_port, num_processes
choose_rendezvous() {
  main_process_ip=$(head_address) || fail "no address of $(hostname) but loopback is found, and the other nodes must reach it"
  main_process_port=$(free_port) || fail "no free port from 10000 to 29999 is found on $(hostname)"
  use_nodes
  [ -n "$num_processes" ] || [ -z "${processes_a_node:-}" ] || num_processes=$((processes_a_node * num_machines))
  [ -n "$num_processes" ] || count_gpus=1 num_processes=$(($(gpus_of_a_node) * num_machines))
  [ "$num_processes" -gt 0 ] || fail "GPUs were asked for, but Slurm gave none to $(hostname)"
  export main_process_ip main_process_port num_machines num_processes count_gpus=${count_gpus:-} MASTER_ADDR=$main_process_ip MASTER_PORT=$main_process_port
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
