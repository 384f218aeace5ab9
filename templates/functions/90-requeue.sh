# ---- requeue: continues the run by scontrol requeue, or by Slurm itself

# continue_run CAUSE NEXT: until Slurm ends this job, or another one is queued. Where sbatch refuses, a requeue is asked for.
continue_run() {
  local way crashes seconds refusal=
  queue_smaller_job
  [ -z "$asked_at_once" ] || wait_for_kill 3600
  way=$(choose_way "$1" "$2")
  [ "$way" != successor ] || hand_over_to_successor "$1"
  [ "$way" != slurm ] || wait_for_slurm "$1"
  case $1 in
    crash | hang)
      crashes=$(value crashes "$run_dir/ledger")
      seconds=$(compute_pause "$crashes")
      pause "$seconds"
      ;;
  esac
  request_requeue "$1"
}

# choose_way CAUSE NEXT: slurm, requeue or successor. A task stays in its array, which only a requeue does. A job that asked
# for less is followed by one that asks for all again.
choose_way() {
  if [ -z "$array_job" ] && { [ -n "${CLUSTERRUN_SMALLER:-}" ] || needs_successor "$1"; }; then
    echo successor
  elif [ "$2" = by-slurm ]; then
    echo slurm
  else
    echo requeue
  fi
}

# TERM to the batch shell leaves KillWait: ask at once for what Slurm does not do by itself.
continue_run_at_term() {
  local asked
  case $(choose_way "$1" "$2") in
    successor) queue_successor "$1" || scontrol requeue "$SLURM_JOB_ID" ;;
    requeue) scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1 ;;
    slurm) false ;;
  esac
  asked=$?
  queue_smaller_job  # last: without it the run comes back all the same
  return "$asked"
}

# Slurm kills this shell when it has taken the job back.
request_requeue() {
  local answer refused=0 pause=2
  while [ "$refused" -lt 5 ]; do
    exit_if_cancelled
    answer=$(scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1) && wait_for_kill 3600
    say "scontrol requeue: $answer"
    case $answer in
      # a preemption or an operator was faster
      *ending* | *being\ requeued*) wait_for_kill 3600 ;;
    esac
    if slurm_is_unreachable "$answer"; then
      pause=$((pause < 30 ? pause * 2 : 30))
    else
      refused=$((refused + 1))
    fi
    pause "$pause"
  done
  end_record "$1" end "${refusal:+no successor: $refusal; }requeue refused: $answer"
  exit_for_good 1
}

# Whether a command says that slurmctld did not answer, which is no refusal.
slurm_is_unreachable() {
  case $1 in
    *[Cc]ontact* | *[Cc]onnect* | *[Cc]ommunicat* | *[Tt]imed\ out* | *respond* | Unexpected\ message*) return 0 ;;
  esac
  return 1
}

# Where Slurm ends this job and starts it again by itself, its last word counts: what it ends at the time limit it does
# not start again. A node's failure it knows after SlurmdTimeout, 300 s by default.
wait_for_slurm() {
  local patience=3600
  [ "$1" != node-failure ] || patience=600
  exit_if_cancelled
  pause "$patience"
}

# A signal ends the pause, also one that came before it.
# sets: signal_seen
pause() {
  signal_seen=
  exit_if_cancelled
  sleep_until_signal "$1"
  exit_if_cancelled
}

# TERM to this shell after the trainers have ended: scancel wants the run to end; all else is Slurm's to continue,
# or is asked for already.
exit_if_cancelled() {
  local cause way
  [ -n "$term_seen" ] && [ -z "$asked_at_once" ] || return 0
  trap '' TERM
  cause=$(find_kill_cause)
  case $cause in
    cancel)
      say "cancelled"
      cancel_other_jobs "$attempt"
      end_record cancel end ''
      exit 1
      ;;
    time-limit | unknown) return 0 ;;
  esac
  way=$(choose_way "$cause" by-slurm)
  [ "$way" = successor ] || wait_for_kill 3600
}

# Stay until Slurm ends this job. Its TERM is enough: who waits for its KILL holds the nodes for KillWait more.
# sets: signal_seen
wait_for_kill() {
  trap 'note_signal TERM' TERM
  signal_seen=
  [ -z "$term_seen" ] || leave
  sleep_until_signal "$1"
  [ -z "$term_seen" ] || leave
}

# Not with 0: jobs that wait for this one's success would begin, and those of other users nobody else can tell.
leave() { exit "${leave_code:-$((step_exit ? step_exit : 1))}"; }
