# ---- requeue: continues the run by scontrol requeue, or by Slurm itself

# go_on CAUSE NEXT: until Slurm ends this job, or another one is queued. Where sbatch refuses, a requeue is asked for.
go_on() {
  local way crashes seconds refusal=
  offer_smaller
  [ -z "$asked_at_once" ] || linger 3600
  way=$(way_on "$1" "$2")
  [ "$way" != successor ] || succeed "$1"
  [ "$way" != slurm ] || await_slurm "$1"
  case $1 in
    crash | hang)
      crashes=$(value crashes "$run_dir/ledger")
      seconds=$(pause_after "$crashes")
      pause "$seconds"
      ;;
  esac
  ask_for_requeue "$1"
}

# way_on CAUSE NEXT: slurm, requeue or successor. A task stays in its array, which only a requeue does. A job that asked
# for less is followed by one that asks for all again.
way_on() {
  if [ -z "$array_job" ] && { [ -n "${CLUSTERRUN_SMALLER:-}" ] || wants_successor "$1"; }; then
    echo successor
  elif [ "$2" = by-slurm ]; then
    echo slurm
  else
    echo requeue
  fi
}

# TERM to the batch shell leaves KillWait: ask at once for what Slurm does not do by itself.
go_on_at_once() {
  local asked
  case $(way_on "$1" "$2") in
    successor) queue_successor "$1" || scontrol requeue "$SLURM_JOB_ID" ;;
    requeue) scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1 ;;
    slurm) false ;;
  esac
  asked=$?
  offer_smaller  # last: without it the run comes back all the same
  return "$asked"
}

# Slurm kills this shell when it has taken the job back.
ask_for_requeue() {
  local answer refused=0 pause=2
  while [ "$refused" -lt 5 ]; do
    leave_if_told
    answer=$(scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1) && linger 3600
    say "scontrol requeue: $answer"
    case $answer in
      # a preemption or an operator was faster
      *ending* | *being\ requeued*) linger 3600 ;;
    esac
    if is_away "$answer"; then
      pause=$((pause < 30 ? pause * 2 : 30))
    else
      refused=$((refused + 1))
    fi
    pause "$pause"
  done
  end_record "$1" end "${refusal:+no successor: $refusal; }requeue refused: $answer"
  leave_for_good 1
}

# Whether a command says that slurmctld did not answer, which is no refusal.
is_away() {
  case $1 in
    *[Cc]ontact* | *[Cc]onnect* | *[Cc]ommunicat* | *[Tt]imed\ out* | *respond* | Unexpected\ message*) return 0 ;;
  esac
  return 1
}

# Where Slurm ends this job and starts it again by itself, its last word counts: what it ends at the time limit it does
# not start again. A node's failure it knows after SlurmdTimeout, 300 s by default.
await_slurm() {
  local patience=3600
  [ "$1" != node-failure ] || patience=600
  leave_if_told
  pause "$patience"
}

# A signal ends the pause, also one that came before it.
pause() {
  heard=
  leave_if_told
  sleep_until_signal "$1"
  leave_if_told
}

# TERM to this shell after the trainers have ended: scancel wants the run to end; all else is Slurm's to continue,
# or is asked for already.
leave_if_told() {
  local cause way
  [ -n "$batch_heard" ] && [ -z "$asked_at_once" ] || return 0
  trap '' TERM
  cause=$(why_killed)
  case $cause in
    cancel)
      say "cancelled"
      take_back_others "$attempt"
      end_record cancel end ''
      exit 1
      ;;
    time-limit | unknown) return 0 ;;
  esac
  way=$(way_on "$cause" by-slurm)
  [ "$way" = successor ] || linger 3600
}

# Stay until Slurm ends this job. Its TERM is enough: who waits for its KILL holds the nodes for KillWait more.
linger() {
  trap 'hear TERM' TERM
  heard=
  [ -z "$batch_heard" ] || leave
  sleep_until_signal "$1"
  [ -z "$batch_heard" ] || leave
}

# Not with 0: jobs that wait for this one's success would begin, and those of other users nobody else can tell.
leave() { exit $((step_exit ? step_exit : 1)); }
