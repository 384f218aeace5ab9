# ---- processes: finds the training processes of a node, and whether they handle a signal

# find_training_processes NUMBER: print the training processes that may be sent this signal. A launcher sets LOCAL_RANK or
# ACCELERATE_MIXED_PRECISION for them, and does not have these itself. Without a launcher they are the programs of the
# command. Their helpers (data loading) do not expect a signal, and a launcher would end the training on it.
find_training_processes() {
  local ranks
  ranks=$(find_ranks "$launcher")
  if [ -n "$ranks" ]; then echo "$ranks"; else find_programs "$launcher" "$1"; fi
}

find_ranks() {
  local child children
  children=$(list_children "$1")
  for child in $children; do
    if tr '\0' '\n' 2>/dev/null < "/proc/$child/environ" | grep -qE '^(LOCAL_RANK|ACCELERATE_MIXED_PRECISION)='; then
      echo "$child"
    else
      find_ranks "$child"
    fi
  done
}

# find_programs PID NUMBER: print the process, or if it is a shell without a handler of its own, what it has started. The
# launcher's shell has one, which only keeps the signal from being ignored.
find_programs() {
  local child children program
  program=$(readlink "/proc/$1/exe")
  case ${program##*/} in
    *bash | dash | sh | zsh | ksh | busybox) [ "$1" != "$launcher" ] && handles_signal "$1" "$2" && echo "$1" && return ;;
    *) echo "$1" && return ;;
  esac
  children=$(list_children "$1")
  for child in $children; do find_programs "$child" "$2"; done
}

# handles_signal PID NUMBER: whether a process has a handler for a signal, or blocks it to wait for it
handles_signal() {
  catches_signal "$1" "$2" || { signal_mask_has "$1" "$2" SigBlk && ! signal_mask_has "$1" "$2" SigIgn; }
}

catches_signal() { signal_mask_has "$1" "$2" SigCgt; }

# signal_mask_has PID NUMBER MASK, proc(5)
signal_mask_has() {
  local mask
  mask=$(sed -n "s/^$3:[[:space:]]*//p" "/proc/$1/status" 2>/dev/null)
  [ $((16#${mask:-0} >> ($2 - 1) & 1)) -eq 1 ]
}

# note_handled_signal NAME: record that a training process may save and exit for a signal that Slurm has sent to all
# processes of the step.
note_handled_signal() {
  local number process processes
  [ -n "$ignore_term" ] && [ "$stop_request" = "$1" ] || return 0
  number=$(kill -l "$1")
  processes=$(find_training_processes "$number")
  for process in $processes; do
    ! handles_signal "$process" "$number" || : > "$node_dir/stop_handled"
  done
}

# Print yes if the training processes may have saved and exited because of the stop request: checkpoint.signal, or Slurm's
# own signal, reached a handler, or the program reads the stop file: its text says so, it has written to the file, or it has
# resumed by clusterrun.training.
find_stop_handling() {
  [ -n "$stop_request" ] || return 0
  if [ -e "$node_dir/stop_handled" ] || [ -n "$reads_stop_file" ] || [ -s "$CLUSTERRUN_STOP_FILE" ] ||
    [ ! -e "$CLUSTERRUN_STOP_FILE" ] || [ -e "$run_dir/events/attempt-$attempt.resume" ]; then
    echo yes
  fi
}
