# ---- signals: what the batch shell does at TERM and USR1, from its first line on

# Until the attempt has its number, a signal is only kept in mind; then, until the step begins, Slurm's TERM ends the
# attempt at once. USR1 is for the nodes, which save before the time limit.
# sets: asked_at_once, leave_code, preparation_watcher, preparing, signal_seen, sleeper, term_seen
install_traps() {
  signal_seen='' term_seen='' asked_at_once='' leave_code='' preparing='' sleeper='' preparation_watcher=''  # whatever a login profile says
  trap 'note_signal TERM' TERM
  trap 'note_signal' USR1
  trap finish_on_exit EXIT
}

# note_signal [TERM]: what a trap does
# sets: signal_seen, term_seen
note_signal() {
  signal_seen=1
  [ -z "${1:-}" ] || term_seen=$1
  wake
}

# The wait of this shell, which no signal has to wait for: bash runs a trap when a command in the foreground has ended,
# and amid `wait` at once. A signal after `signal_seen` was emptied and before the sleep has begun ends it, too.
# sets: sleeper
sleep_until_signal() {
  sleep "$1" &
  sleeper=$!
  [ -n "${signal_seen:-}" ] || wait "$sleeper"
  wake
  sleeper=
}

wake() { [ -z "${sleeper:-}" ] || kill "$sleeper" 2>/dev/null; }

# wait_for PID: its exit code in `waited`; a trap interrupts `wait`, so ask until no signal came in between.
# sets: signal_seen, waited
wait_for() {
  local code
  waited=127
  while :; do
    signal_seen=
    wait "$1"
    code=$?
    [ "$code" -eq 127 ] || waited=$code
    [ -n "$signal_seen" ] || return 0
  done
}

# Slurm ends the job while it prepares (modules, setup, the search for a checkpoint): the same end as amid the step, of
# which there is none yet.
# sets: step_exit, term_seen
end_before_step() {
  kill -KILL "$preparation_watcher" 2>/dev/null
  step_exit=143
  term_seen=
  record_end_at_term
  end_attempt
}

# Whether slurmstepd has written that this job is ended; its line may come a moment after its signal.
slurm_is_ending_job() {
  local try cause='' signal_seen=''
  for try in 1 2 3 4 5; do
    cause=$(find_job_cause)
    [ -z "$cause" ] || return 0
    sleep_until_signal 0.2
  done
  return 1
}

# Beside the preparation. With cgroup tracking Slurm's TERM is for the batch shell alone, which runs no trap before its
# command in the foreground has ended: so end that, as Slurm does itself with linuxproc.
watch_preparation() {
  local never cause child below own signal=TERM
  trap '' TERM USR1
  exec {never}<> <(:)
  while read -r -t 1 -u "$never" || kill -0 $$ 2>/dev/null; do
    cause=$(find_job_cause)
    [ -n "$cause" ] || continue
    own=$(children $$)
    for child in $own; do
      below=$(descendants "$child")
      # shellcheck disable=SC2086
      [ "$child" = "$BASHPID" ] || kill -s "$signal" $below "$child" 2>/dev/null
    done
    signal=KILL
  done
}

# At the end of this shell, whatever for. An attempt whose preparation has ended without a word was ended by Slurm, whose
# TERM bash 5.2 takes for a syntax error amid some substitutions; or a line of the setup has left the script.
finish_on_exit() {
  local code=$?
  trap '' TERM USR1
  wake
  [ -z "${preparation_watcher:-}" ] || kill -KILL "$preparation_watcher" 2>/dev/null
  if [ -n "${preparing:-}" ] && [ ! -e "$run_dir/events/attempt-$attempt.end" ]; then
    (fail "the script has ended before the launch, with exit code $code: a line of environment.setup, or an error in it")
    code=$?
  fi
  notify_at_exit
  exit "$code"
}
