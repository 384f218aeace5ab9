# ---- stop-signal: sends checkpoint.signal to the training processes

# Send checkpoint.signal to the training processes only: a launcher would end them on it, and their helpers (data
# loading) do not expect it. A launcher sets LOCAL_RANK or ACCELERATE_MIXED_PRECISION for them, and does not have these
# itself. Without a launcher the training process is the command: its shell, and the children of that.
signal_training_processes() {
  local processes children
  processes=$(find_training_processes "$launcher")
  children=$(list_children "$launcher")
  # shellcheck disable=SC2086
  kill -s "$1" ${processes:-$launcher $children} 2>/dev/null  # one may have just exited
}

find_training_processes() {
  local child children
  children=$(list_children "$1")
  for child in $children; do
    if tr '\0' '\n' < "/proc/$child/environ" | grep -qE '^(LOCAL_RANK|ACCELERATE_MIXED_PRECISION)='; then
      echo "$child"
    else
      find_training_processes "$child"
    fi
  done
}
