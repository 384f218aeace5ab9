# ---- signals: how the batch shell handles TERM and USR1, from its first line on

# Until the attempt has its number, a signal is only noted; after that, until the step starts, Slurm's TERM ends the
# attempt at once. USR1 is for the nodes, which save before the time limit.
# sets: claim, continuation_requested, exit_code_override, in_preparation, preparation_watcher, signal_seen, sleep_pid, term_seen
install_traps() {
  # a login profile may have set them
  signal_seen='' term_seen='' continuation_requested='' exit_code_override='' in_preparation='' sleep_pid=''
  preparation_watcher='' claim=''
  trap 'note_signal TERM' TERM
  trap 'note_signal' USR1
  trap finish_on_exit EXIT
}

# note_signal [TERM]: the body of the traps
# sets: signal_seen, term_seen
note_signal() {
  signal_seen=1
  [ -z "${1:-}" ] || term_seen=$1
  end_sleep
}

# Sleep so that a signal is handled at once: bash runs a trap only after the foreground command has ended, but during
# `wait` immediately. A signal after `signal_seen` was cleared and before the sleep has started ends the sleep, too.
# sets: sleep_pid
sleep_until_signal() {
  sleep "$1" &
  sleep_pid=$!
  [ -n "${signal_seen:-}" ] || wait "$sleep_pid"
  end_sleep
  sleep_pid=
}

end_sleep() { [ -z "${sleep_pid:-}" ] || kill "$sleep_pid" 2>/dev/null; }

# wait_for_exit PID: store its exit code in `child_exit_code`; a trap interrupts `wait`, so repeat until no signal came.
# sets: child_exit_code, signal_seen
wait_for_exit() {
  local code
  child_exit_code=127
  while :; do
    signal_seen=
    wait "$1"
    code=$?
    [ "$code" -eq 127 ] || child_exit_code=$code
    [ -n "$signal_seen" ] || return 0
  done
}

# Slurm is ending the job during its preparation (modules, setup, the search for a checkpoint): end it as during the
# step, which has not started yet.
# sets: step_exit, term_seen
end_before_step() {
  local processes=
  kill -KILL "$preparation_watcher" 2>/dev/null
  if [ -n "${user_shell:-}" ]; then
    processes=$(list_descendants "$user_shell")
    # shellcheck disable=SC2086
    kill -KILL $processes "$user_shell" 2>/dev/null  # some may have exited already
  fi
  step_exit=143
  term_seen=
  record_end_at_term
  end_attempt
}

# Whether slurmstepd has logged that it ends this job; its line may come a moment after its signal.
slurm_is_ending_job() {
  local try cause='' signal_seen=''
  for try in 1 2 3 4 5; do
    cause=$(find_job_cause)
    [ -z "$cause" ] || return 0
    sleep_until_signal 0.2
  done
  return 1
}

# Runs in parallel with the preparation. With cgroup tracking only the batch shell receives Slurm's TERM, and it runs no
# trap before its foreground command has ended: so end that command, as Slurm itself does with linuxproc.
watch_preparation() {
  local never cause child processes own_children signal=TERM
  trap '' TERM USR1
  exec {never}<> <(:)
  while read -r -t 1 -u "$never" || kill -0 $$ 2>/dev/null; do
    cause=$(find_job_cause)
    [ -n "$cause" ] || continue
    own_children=$(list_children $$)
    for child in $own_children; do
      processes=$(list_descendants "$child")
      # shellcheck disable=SC2086
      [ "$child" = "$BASHPID" ] || kill -s "$signal" $processes "$child" 2>/dev/null
    done
    signal=KILL
  done
}

# Runs when this shell exits, for any reason. If the preparation ended without a record, either Slurm ended it (bash 5.2
# takes a TERM during some substitutions for a syntax error), or a line of the setup exited.
finish_on_exit() {
  local code=$?
  trap '' TERM USR1
  end_sleep
  give_up_claim
  [ -z "${preparation_watcher:-}" ] || kill -KILL "$preparation_watcher" 2>/dev/null
  if [ -n "${in_preparation:-}" ] && [ ! -e "$run_dir/events/attempt-$attempt.end" ]; then
    (fail "the script exited with code $code before the launch; check environment.setup for an exit or a syntax error")
    code=$?
  fi
  notify_at_exit
  exit "$code"
}
