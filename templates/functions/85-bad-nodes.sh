# ---- bad-nodes: chooses the nodes that this run excludes

# blame_nodes CAUSE: exclude the nodes that failed the check, and a node that crashed first, or failed to start its task,
# in two attempts.
blame_nodes() {
  local file node crashes check last_counted
  suspect_first_node
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    check=$(read_value check "$file")
    node=$(read_value name "$file")
    [ -z "$check" ] || environment_is_unfit || exclude_node "$node" "$check"
  done
  node=
  case $1 in
    crash) node=$(find_first_crash) ;;
    bad-node)
      node=$(find_launch_failure)
      node=${node#the launch failed on } node=${node%%:*}
      ;;
  esac
  [ -n "$node" ] || return 0
  last_counted=$(read_value attempt "$run_dir/nodes/$node")
  [ "$last_counted" != "$attempt" ] || return 0
  crashes=$(read_value crashes "$run_dir/nodes/$node")
  crashes=$((${crashes:-0} + 1))
  if [ "$crashes" -ge 2 ]; then
    exclude_node "$node" "crashed first in $crashes attempts"
  else
    record_node "$node" crashes="$crashes" until=0
  fi
}

# A node compares its clock with the first node's. If all others differ from that, the first node's is wrong; if there is
# only one other, slurmctld's clock decides. Then the check is the first node's that failed. Its records say so.
suspect_first_node() {
  local file check node difference='' others=0
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    check=$(read_value check "$file")
    case $check in "its clock differs from the first node's by "*) ;; *) continue ;; esac
    others=$((others + 1))
    difference=${check#*node\'s by } difference=${difference% s}
  done
  [ "$others" -gt 0 ] && [ "$others" -eq $((num_machines - 1)) ] || return 0
  [ "$others" -gt 1 ] || ! slurmctld_agrees_with_head || return 0
  node=$(hostname)
  write_record "$run_dir/events/attempt-$attempt.node-0" node="$node" name="${SLURMD_NODENAME:-}" exit_code=1 stop_request= \
    check="its clock differs from the other nodes' by $((-difference)) s"
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    sed -i "/^check=its clock differs from the first node's/d" "$file"
  done
}

# Whether slurmctld's clock shows the same time as this node, the first one; if it does not respond: yes.
slurmctld_agrees_with_head() {
  local cluster_time now
  cluster_time=$(SLURM_TIME_FORMAT=standard scontrol show config 2>/dev/null | sed -n 's/^Configuration data as of //p')
  cluster_time=$(date -d "${cluster_time:-none}" +%s 2>/dev/null) || return 0
  now=$(date +%s)
  case $((now - cluster_time)) in -[0-9] | -[1-2][0-9] | [0-9] | [1-2][0-9]) return 0 ;; esac
  return 1
}

# exclude_node NODE REASON: exclude it for a day from the jobs that are queued from now on
# sets: new_exclusions
exclude_node() {
  local last_counted now
  [ -n "$1" ] || return 0
  last_counted=$(read_value attempt "$run_dir/nodes/$1")
  now=$(date +%s)
  [ "$last_counted" = "$attempt" ] || record_node "$1" reason="$2" until="$((now + 86400))"
  new_exclusions=1
}

record_node() {
  local node=$1
  shift
  (umask 077 && mkdir -p "$run_dir/nodes")
  write_record "$run_dir/nodes/$node" attempt="$attempt" "$@"
}

# Print the node whose task failed while all others still ran, or nothing if several failed in the same second.
find_first_crash() {
  local file code ended name stop_request another_node_failed first='' earliest=0
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    code=$(read_value exit_code "$file")
    stop_request=$(read_value stop_request "$file")
    another_node_failed=$(read_value another_node_failed "$file")
    if [ "$code" = 0 ] || [ -n "$stop_request$another_node_failed" ]; then continue; fi
    ended=$(read_value ended "$file")
    if [ "$earliest" -eq 0 ] || [ "$ended" -lt "$earliest" ]; then
      earliest=$ended
      first=$(read_value name "$file")
    elif [ "$ended" -eq "$earliest" ]; then
      name=$(read_value name "$file")
      [ "$name" = "$first" ] || first=
    fi
  done
  printf '%s' "$first"
}
