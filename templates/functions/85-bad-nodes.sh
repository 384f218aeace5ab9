# ---- bad-nodes: which nodes this run keeps away from

# blame_nodes CAUSE: keep away from nodes that are not fit, and from one that was the first to crash, or refused to start
# its task, in two attempts.
blame_nodes() {
  local file node crashes check counted
  for file in "$run_dir/events/attempt-$attempt".node-*; do
    check=$(value check "$file")
    node=$(value name "$file")
    [ -z "$check" ] || exclude_node "$node" "$check"
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
  counted=$(value attempt "$run_dir/nodes/$node")
  [ "$counted" != "$attempt" ] || return 0
  crashes=$(value crashes "$run_dir/nodes/$node")
  crashes=$((${crashes:-0} + 1))
  if [ "$crashes" -ge 2 ]; then
    exclude_node "$node" "the first to crash in $crashes attempts"
  else
    record_node "$node" crashes="$crashes" until=0
  fi
}

# exclude_node NODE REASON: for a day, by the jobs that are queued from now on
# sets: newly_excluded
exclude_node() {
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
find_first_crash() {
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
