# ---- node-check: whether a node is fit to train, before the launch

# On the node, before the launch. What the check says last is why the node is not fit; one that hangs is not, either.
fits() {
  local words host now
  [ -z "${unchecked:-}" ] || return 0
  if IFS= read -r -d '' -t 120 words < <({ run_default_check && run_node_check; } 2>&1; printf 'exit=%s\0' $?); then
    case $words in *exit=0) return 0 ;; esac
    words=${words%exit=*} words=${words%$'\n'} words=${words##*$'\n'}
  else
    words="the check did not end within 120 s"
  fi
  host=$(hostname)
  now=$(date +%s)
  say "$host: not fit: ${words:-the check failed without a word}"
  record "$run_dir/events/attempt-$attempt.node-$SLURM_NODEID" node="$host" name="${SLURMD_NODENAME:-}" \
    check="${words:-the check failed without a word}" exit_code=1 asked= ended="$now"
  return 1
}

run_node_check() { if declare -F node_check >/dev/null; then node_check; fi; }

# What is wrong with a node in most of the cases: GPUs that do not answer, a full disk, a clock that is off.
run_default_check() {
  local listed count here left now place=${TMPDIR:-/tmp}
  if [ -n "$count_gpus" ] && command -v nvidia-smi >/dev/null; then
    listed=$(nvidia-smi -L 2>&1) || { echo "nvidia-smi: ${listed##*$'\n'}"; return 1; }
    count=$(grep -c '^GPU ' <<< "$listed")
    here=$(gpus_here)
    [ "$count" -ge "$here" ] || { echo "nvidia-smi lists $count GPUs, and Slurm gave $here"; return 1; }
  fi
  [ -w "$place" ] || { echo "$place cannot be written"; return 1; }
  left=$(df -Pk "$place" | awk 'NR == 2 {print $4}')
  [ "$left" -ge 102400 ] || { echo "$place has less than 100 MB left"; return 1; }
  now=$(date +%s)
  case $((now - head_clock)) in
    -[0-9] | -[12][0-9] | [0-9] | [0-9][0-9] | [1-2][0-9][0-9]) ;;  # srun may take minutes to start
    *) echo "its clock is $((now - head_clock)) s from the first node's"; return 1 ;;
  esac
}

find_unfit_node() {
  local file node check
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    node=$(value node "$file")
    check=$(value check "$file")
    [ -z "$check" ] || { printf '%s: %s' "$node" "$check"; return; }
  done
}
