# ---- requeue: chooses how the run continues, and requests a requeue

# continue_run CAUSE NEXT: ends when Slurm ends this job, or when a successor is queued. If sbatch refuses a successor,
# request a requeue.
continue_run() {
  local continuation crashes pause_s refusal=
  queue_smaller_job
  [ -z "$continuation_requested" ] || wait_for_kill
  continuation=$(choose_continuation "$1" "$2")
  [ "$continuation" != successor ] || hand_over_to_successor "$1"
  [ "$continuation" != slurm ] || wait_for_slurm "$1"
  case $1 in
    crash | hang)
      crashes=$(read_value crashes "$run_dir/ledger")
      pause_s=$(compute_pause "$crashes")
      pause_unless_cancelled "$pause_s"
      ;;
  esac
  request_requeue "$1"
}

# choose_continuation CAUSE NEXT: print slurm, requeue or successor. What Slurm has requeued has no successor, whatever
# requeue.by is: both jobs would continue the run. A task of an array stays in it, and a run with requeue.by: requeue in
# its job, unless Slurm would not requeue it, as after a preemption by CANCEL. A smaller job is followed by one of full size.
choose_continuation() {
  if [ "$2" = by-slurm ] && [ -z "${CLUSTERRUN_SMALLER:-}" ] && slurm_has_requeued "$1"; then
    echo slurm
  elif [ -z "$array_job" ] && { [ -n "${CLUSTERRUN_SMALLER:-}" ] || needs_successor "$1"; }; then
    echo successor
  elif [ "$2" != by-slurm ]; then
    echo requeue
  elif slurm_would_requeue "$1"; then
    echo slurm
  else
    echo successor
  fi
}

# slurm_has_requeued CAUSE: whether Slurm has requeued this job already, so that it is too late for Requeue=0. Its TERM to
# the batch shell comes after that; srun reports a node failure when Slurm has handled it.
slurm_has_requeued() {
  case $1:${term_seen:-} in
    requeue:TERM) return 0 ;;
    preemption:TERM | node-failure:*) slurm_would_requeue "$1" ;;
    *) return 1 ;;
  esac
}

# slurm_would_requeue CAUSE: not if the job must not be requeued, or is preempted by cancelling it. If Slurm does not
# respond, assume yes: request_requeue will find out.
slurm_would_requeue() {
  local mode
  case $(scontrol show job "${array_job:-$SLURM_JOB_ID}" 2>/dev/null) in *" Requeue=0"*) return 1 ;; esac
  mode=$(find_preempt_mode)
  [ "$1" != preemption ] || [ "$mode" != CANCEL ]
}

# Print what a preemption does to this job: as its partition defines, or its QOS with preempt/qos, else the cluster.
find_preempt_mode() {
  local config mode=
  config=$(scontrol show config 2>/dev/null)
  case $config in
    *preempt/qos*) mode=$(sacctmgr --noheader --parsable2 show qos "${SLURM_JOB_QOS:-normal}" format=PreemptMode 2>/dev/null) ;;
    *) mode=$(scontrol show partition "$SLURM_JOB_PARTITION" 2>/dev/null | sed -n 's/.*PreemptMode=\([A-Z,]*\).*/\1/p') ;;
  esac
  case ${mode^^} in
    '' | CLUSTER) sed -n 's/^PreemptMode *= *//p' <<< "$config" ;;
    *) echo "${mode^^}" ;;
  esac
}

# continue_run_at_term CAUSE NEXT: after TERM only KillWait remains, so request at once what Slurm does not do by itself.
continue_run_at_term() {
  local code
  case $(choose_continuation "$1" "$2") in
    successor) queue_successor "$1" || scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1 ;;
    requeue) scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1 ;;
    slurm) false ;;
  esac
  code=$?
  queue_smaller_job  # last: the run continues without it, too
  return "$code"
}

# request_requeue CAUSE: Slurm kills this shell once it has requeued the job.
request_requeue() {
  local answer refusals=0 delay_s=2
  while [ "$refusals" -lt 5 ]; do
    exit_if_cancelled
    exit_if_replaced
    answer=$(scontrol requeue "${array_job:-$SLURM_JOB_ID}" 2>&1) && wait_for_kill
    log_message "scontrol requeue: $answer"
    case $answer in
      # a preemption or an operator came first
      *ending* | *being\ requeued*) wait_until_replaced ;;
    esac
    if slurm_is_unreachable "$answer"; then
      delay_s=$((delay_s < 30 ? delay_s * 2 : 30))
    else
      refusals=$((refusals + 1))
    fi
    pause_unless_cancelled "$delay_s"
  done
  record_end "$1" end "${refusal:+successor job refused: $refusal; }requeue refused: $answer"
  exit_for_good 1
}

# slurm_is_unreachable OUTPUT: whether a command failed because slurmctld did not respond, and not by refusal
slurm_is_unreachable() {
  case $1 in
    *[Cc]ontact* | *[Cc]onnect* | *[Cc]ommunicat* | *[Tt]imed\ out* | *respond* | Unexpected\ message*) return 0 ;;
  esac
  return 1
}
