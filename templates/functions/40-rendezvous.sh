# ---- rendezvous: chooses the address and port at which the ranks meet, and the number of ranks

# Set where the ranks meet: the numeric address of the first node, and a port that depends on the job.
# sets: main_process_ip, main_process_port, num_processes, one_rank_per_gpu
choose_rendezvous() {
  main_process_ip=$(find_head_address) || fail "$(hostname) has only loopback addresses, which the other nodes cannot reach"
  main_process_port=$(find_free_port) || fail "no free port from 10000 to 29999 found on $(hostname)"
  choose_node_count
  [ -n "$num_processes" ] || [ -z "${processes_per_node:-}" ] || num_processes=$((processes_per_node * num_machines))
  [ -n "$num_processes" ] || one_rank_per_gpu=1 num_processes=$(($(count_gpus_per_node) * num_machines))
  [ "$num_processes" -gt 0 ] || [ -z "${gpus_without_gres:-}" ] || fail "no GPU found on $(hostname); gpus-per-node-without-gres is $gpus_without_gres"
  [ "$num_processes" -gt 0 ] || fail "GPUs were requested, but Slurm allocated none on $(hostname)"
  export main_process_ip main_process_port num_machines num_processes one_rank_per_gpu=${one_rank_per_gpu:-}
  export MASTER_ADDR=$main_process_ip MASTER_PORT=$main_process_port
}

# Print an address of this machine: the one that Slurm or its host name resolves to, else its first one.
find_head_address() {
  local own name address
  own=" $(hostname -I 2>/dev/null || ip -o addr show scope global | awk '{sub("/.*", "", $4); print $4}' | tr '\n' ' ') "
  for name in $(scontrol show node "${SLURMD_NODENAME:-}" 2>/dev/null | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p') "$(hostname)"; do
    for address in $(getent ahostsv4 "$name" | awk '{print $1}'; getent ahosts "$name" | awk '{print $1}'); do
      case $own in *" $address "*) print_unless_loopback "$address" && return ;; esac
    done
  done
  for address in $own; do print_unless_loopback "$address" && return; done
  [ "$SLURM_JOB_NUM_NODES" -eq 1 ] && printf 127.0.0.1
}

print_unless_loopback() {
  case $1 in 127.* | ::1 | fe80:*) return 1 ;; esac
  printf '%s' "$1"
}

# Print a port below the ephemeral range (32768 by default), derived from job id and attempt, on which nobody listens.
find_free_port() {
  local try port
  for try in {0..199}; do
    port=$((10000 + (${SLURM_JOB_ID//[!0-9]/} * 31 + 10#$attempt * 7 + try * 101) % 20000))
    port_is_in_use "$main_process_ip" "$port" || port_is_in_use 127.0.0.1 "$port" || { printf '%s' "$port" && return; }
  done
  return 1
}

port_is_in_use() { (exec 3<> "/dev/tcp/$1/$2") 2>/dev/null; }

# Print how many GPUs the job requested per node. An exclusive job's first node would report how many it has.
count_gpus_per_node() {
  if [ -n "${SLURM_GPUS_PER_NODE:-}" ]; then printf '%s' "${SLURM_GPUS_PER_NODE##*:}"; else count_local_gpus; fi
}

# Print how many GPUs Slurm allocated on this node, however they were requested.
count_local_gpus() {
  local list=${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-${CUDA_VISIBLE_DEVICES:-${ROCR_VISIBLE_DEVICES:-}}}}
  if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
    printf '%s' "${SLURM_GPUS_ON_NODE##*:}"
  elif [ -n "${gpus_without_gres:-}" ]; then
    count_gpu_devices
  else
    printf '%s' "$list" | tr ',' '\n' | grep -c .
  fi
}

# Print how many GPUs this node has: by the driver's tool, or by its device files (of AMD's driver, with /dev/kfd).
count_gpu_devices() {
  local devices=()
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi -L 2>/dev/null | grep -c '^GPU '
    return
  fi
  devices=(/dev/nvidia[0-9]*)
  [ -e "${devices[0]}" ] || [ ! -e /dev/kfd ] || devices=(/dev/dri/renderD*)
  if [ -e "${devices[0]}" ]; then echo "${#devices[@]}"; else echo 0; fi
}

# A job can have GPUs that its spec does not request: those of an exclusive node, or of a rule of the partition.
warn_of_idle_gpus() {
  case ${SLURM_GPUS_ON_NODE:-0} in *[1-9]*) ;; *) return 0 ;; esac
  log_message "WARNING: training runs on CPUs, but Slurm allocated GPUs on $(hostname): $(count_local_gpus);" \
    "set slurm.gpus-per-node to use them, or accelerate.use_cpu: true if CPUs are intended"
}
