# ---- stop-signal: sends checkpoint.signal to the training processes

# Runs in parallel with the training after a stop request. A process that is still importing has no handler yet and would
# lose the signal, or die of it: send it once the process has one, and only once.
signal_training_processes() {
  local never number process processes signalled=' '
  trap '' TERM USR1 USR2
  exec {never}<> <(:)
  number=$(kill -l "$stop_signal")
  while node_task_is_alive; do
    processes=$(find_training_processes "$number")
    for process in $processes; do
      if [[ $signalled != *" $process "* ]] && handles_signal "$process" "$number" &&
        kill -s "$stop_signal" "$process" 2>/dev/null; then
        signalled="$signalled$process "
        : > "$node_dir/stop_handled"
      fi
    done
    read -r -t 1 -u "$never"
  done
}
