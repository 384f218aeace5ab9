# ---- node-check: checks a node before the launch

# Runs on each node before the launch. The last line that the check prints is why it failed; a check that hangs fails.
node_is_fit() {
  local output host now
  [ -z "${skip_node_check:-}" ] && [ "$SLURM_LOCALID" -eq 0 ] || return 0
  if IFS= read -r -d '' -t 120 output < <({ run_default_check && run_node_check; } 2>&1; printf 'exit=%s\0' $?); then
    case $output in *exit=0) return 0 ;; esac
    output=${output%exit=*} output=${output%$'\n'} output=${output##*$'\n'}
  else
    output="timed out after 120 s"
  fi
  host=$(hostname)
  now=$(date +%s)
  log_message "$host: node check failed: ${output:-no output}"
  write_record "$run_dir/events/attempt-$attempt.node-$SLURM_PROCID" node="$host" name="${SLURMD_NODENAME:-}" \
    check="${output:-no output}" exit_code=1 stop_request= ended="$now"
  return 1
}

run_node_check() {
  local program
  program=$(declare -f node_check) || return 0
  (run_for_user "$program"$'\nnode_check')
}

# Check for the commonest faults: GPUs that do not respond, a full disk, a clock that is wrong.
run_default_check() {
  local gpu_list count allocated free_kib now folder=${TMPDIR:-/tmp}
  if [ -n "$one_rank_per_gpu" ] && command -v nvidia-smi >/dev/null; then
    gpu_list=$(nvidia-smi -L 2>&1) || { echo "nvidia-smi: ${gpu_list##*$'\n'}"; return 1; }
    count=$(grep -c '^GPU ' <<< "$gpu_list")
    allocated=$(count_local_gpus)
    [ "$count" -ge "$allocated" ] || { echo "nvidia-smi lists $count GPUs, but Slurm allocated $allocated"; return 1; }
  fi
  [ -w "$folder" ] || { echo "cannot write to $folder"; return 1; }
  free_kib=$(df -Pk "$folder" | awk 'NR == 2 {print $4}')
  [ "$free_kib" -ge 102400 ] || { echo "less than 100 MB free in $folder"; return 1; }
  now=$(date +%s)
  case $((now - head_clock)) in
    -[0-9] | -[12][0-9] | [0-9] | [0-9][0-9] | [1-2][0-9][0-9]) ;;  # srun may take minutes to start
    *) echo "its clock differs from the first node's by $((now - head_clock)) s"; return 1 ;;
  esac
}

find_unfit_node() {
  local file node check
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    node=$(read_value node "$file")
    check=$(read_value check "$file")
    [ -z "$check" ] || { printf '%s: %s' "$node" "$check"; return; }
  done
}
