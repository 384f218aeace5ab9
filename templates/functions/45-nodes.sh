# ---- nodes: which of them are fit, and which this run keeps away from

# On the node, before the launch. What the check says last is why the node is not fit; one that hangs is not, either.
fits() {
  local words host now
  [ -z "${unchecked:-}" ] || return 0
  if IFS= read -r -d '' -t 120 words < <({ default_check && own_check; } 2>&1; printf 'exit=%s\0' $?); then
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

own_check() { if declare -F node_check >/dev/null; then node_check; fi; }

# What is wrong with a node in most of the cases: GPUs that do not answer, a full disk, a clock that is off.
default_check() {
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

# blame_nodes CAUSE: keep away from nodes that are not fit, and from one that was the first to crash, or refused to start
# its task, in two attempts.
blame_nodes() {
  local file node crashes check counted
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    check=$(value check "$file")
    node=$(value name "$file")
    [ -z "$check" ] || keep_away "$node" "$check"
  done
  node=
  case $1 in
    crash) node=$(first_to_crash) ;;
    bad-node)
      node=$(launch_failure)
      node=${node#the launch failed on } node=${node%%:*}
      ;;
  esac
  [ -n "$node" ] || return 0
  counted=$(value attempt "$run_dir/nodes/$node")
  [ "$counted" != "$attempt" ] || return 0
  crashes=$(value crashes "$run_dir/nodes/$node")
  crashes=$((${crashes:-0} + 1))
  if [ "$crashes" -ge 2 ]; then
    keep_away "$node" "the first to crash in $crashes attempts"
  else
    record_node "$node" crashes="$crashes" until=0
  fi
}

# keep_away NODE REASON: for a day, by the jobs that are queued from now on
keep_away() {
  local counted now
  [ -n "$1" ] || return 0
  counted=$(value attempt "$run_dir/nodes/$1")
  now=$(date +%s)
  [ "$counted" = "$attempt" ] || record_node "$1" reason="$2" until="$((now + 86400))"
  newly_excluded=1
}

record_node() {
  local node=$1
  shift
  (umask 077 && mkdir -p "$run_dir/nodes")
  record "$run_dir/nodes/$node" attempt="$attempt" "$@"
}

# The node whose ranks failed while all others' were still well; nothing where several failed at the same moment.
first_to_crash() {
  local file code ended asked followed first='' earliest=0
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(value exit_code "$file")
    asked=$(value asked "$file")
    followed=$(value followed "$file")
    if [ "$code" = 0 ] || [ -n "$asked$followed" ]; then continue; fi
    ended=$(value ended "$file")
    if [ "$earliest" -eq 0 ] || [ "$ended" -lt "$earliest" ]; then
      earliest=$ended
      first=$(value name "$file")
    elif [ "$ended" -eq "$earliest" ]; then
      first=
    fi
  done
  printf '%s' "$first"
}

# Whether it is no node's fault: all of several nodes failed the check.
none_fits() {
  local node check
  [ "${num_machines:-$SLURM_JOB_NUM_NODES}" -gt 1 ] || return 1
  for ((node = 0; node < ${num_machines:-$SLURM_JOB_NUM_NODES}; node++)); do
    check=$(value check "$run_dir/events/attempt-$attempt.node-$node")
    [ -n "$check" ] || return 1
  done
}

# What sbatch is to exclude: the spec's own nodes, and those of this run whose time is not over.
all_excluded() {
  local file until now together=${exclude:-}
  now=$(date +%s)
  for file in "$run_dir"/nodes/*; do
    until=$(value until "$file")
    [ "${until:-0}" -gt "$now" ] && together=${together:+$together,}${file##*/}
  done
  printf '%s' "$together"
}

first_unfit() {
  local file node check
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    node=$(value node "$file")
    check=$(value check "$file")
    [ -z "$check" ] || { printf '%s: %s' "$node" "$check"; return; }
  done
}
