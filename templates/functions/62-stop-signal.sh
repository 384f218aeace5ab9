# ---- stop-signal: sends checkpoint.signal to the training processes

# For scripts that want a signal: to the trainers only. A launcher would end them, and their helpers (data loading) are
# not asked. Trainers have LOCAL_RANK or ACCELERATE_MIXED_PRECISION from their launcher, which has not. Without a
# launcher the command is the trainer: its shell, and what that has started.
signal_trainers() {
  local found below
  found=$(find_trainers "$launcher")
  below=$(children "$launcher")
  # shellcheck disable=SC2086
  kill -s "$1" ${found:-$launcher $below} 2>/dev/null  # one may have just ended
}

find_trainers() {
  local child below
  below=$(children "$1")
  for child in $below; do
    if tr '\0' '\n' < "/proc/$child/environ" | grep -qE '^(LOCAL_RANK|ACCELERATE_MIXED_PRECISION)='; then
      echo "$child"
    else
      find_trainers "$child"
    fi
  done
}
