# ---- the requeue

# Slurm kills this shell when it has taken the job back.
ask_for_requeue() {
  local answer refused=0 pause=2
  [ -z "$requeue_asked" ] || linger 3600
  while [ "$refused" -lt 5 ]; do
    leave_if_told
    answer=$(scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1) && linger 3600
    say "scontrol requeue: $answer"
    case $answer in
      # a preemption or an operator was faster
      *ending* | *being\ requeued*) linger 3600 ;;
      *[Cc]ontact* | *[Cc]onnect* | *[Cc]ommunicat* | *[Tt]imed\ out* | *respond* | Unexpected\ message*) pause=$((pause < 30 ? pause * 2 : 30)) ;;
      *) refused=$((refused + 1)) ;;
    esac
    pause "$pause"
  done
  end_record "$1" end "requeue refused: $answer"
  exit 1
}

# Where Slurm ends this job and starts it again by itself, its last word counts: what it ends at the time limit it does
# not start again. A node's failure it knows after SlurmdTimeout, 300 s by default.
await_slurm() {
  local patience=3600
  [ "$1" != node-failure ] || patience=600
  leave_if_told
  pause "$patience"
  ask_for_requeue "$1"
}

# A signal ends the pause.
pause() {
  sleep "$1" &
  wait $!
  kill $! 2>/dev/null
  leave_if_told
}

# TERM to this shell after the trainers have ended: scancel wants the run to end; all else is Slurm's to continue.
leave_if_told() {
  local cause
  [ -n "$batch_heard" ] || return 0
  trap '' TERM
  cause=$(why_killed)
  case $cause in
    cancel)
      say "cancelled"
      end_record cancel end ''
      exit 1
      ;;
    time-limit) trap '' TERM ;;
    *) linger 3600 ;;
  esac
}

# Stay until Slurm ends this job. Its TERM is enough: who waits for its KILL holds the nodes for KillWait more.
linger() {
  trap 'leave_now' TERM
  [ -z "$batch_heard" ] || leave_now
  sleep "$1" &
  wait $!
}

leave_now() {
  kill $! 2>/dev/null
  exit $((step_exit ? step_exit : 1))
}
