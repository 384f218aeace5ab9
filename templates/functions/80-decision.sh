# ---- decision: decides whether another attempt follows, from the cause and the counts in the ledger

# update_ledger ATTEMPT CAUSE: count each attempt once. Crashes and hangs in a row count until there is a new checkpoint,
# idle attempts until there is a new step. An attempt whose nodes failed the check counts by itself.
update_ledger() {
  local last_counted crashes idle furthest previous_checkpoint checkpoint step unfit=0
  last_counted=$(read_value attempt "$run_dir/ledger")
  [ "$last_counted" != "$1" ] || return 0
  crashes=$(read_value crashes "$run_dir/ledger")
  idle=$(read_value idle "$run_dir/ledger")
  furthest=$(read_value furthest "$run_dir/ledger")
  previous_checkpoint=$(read_value checkpoint "$run_dir/ledger")
  checkpoint=$(find_newest_checkpoint)
  step=$(read_value step "$run_dir/progress")
  if [ "$2" = bad-node ]; then
    unfit=$(read_value unfit "$run_dir/ledger")
    unfit=$((${unfit:-0} + 1))
  fi
  [ "$checkpoint" = "$previous_checkpoint" ] || crashes=0
  idle=$((${idle:-0} + 1))
  ! ended_before_first_step "$1" "$2" || idle=$((idle - 1))
  [ "${step:-0}" -le "${furthest:-0}" ] || idle=0 furthest=$step
  [ -z "${checkpoint_path:-}" ] || [ "$checkpoint" = "$previous_checkpoint" ] || idle=0
  # a script that reports no steps, and whose checkpoints are unknown, is not judged by its progress
  [ -n "$step$checkpoint${checkpoint_path:-}" ] || [[ $2 = crash || $2 = hang ]] || idle=0
  [[ $2 != crash && $2 != hang ]] || crashes=$((${crashes:-0} + 1))
  [ -z "${signal_seen:-}" ] || return 0  # TERM may have killed a subshell above: retry
  write_record "$run_dir/ledger" attempt="$1" crashes="${crashes:-0}" idle="$idle" furthest="${furthest:-0}" \
    checkpoint="$checkpoint" unfit="$unfit"
}

# ended_before_first_step ATTEMPT CAUSE: whether Slurm took the job, or a node failed, before the training could make a
# step, which says nothing of the training. The training library records when an attempt makes its first step.
ended_before_first_step() {
  local started file
  case $2 in
    bad-node) return 0 ;;
    preemption | requeue | node-failure) ;;
    *) return 1 ;;
  esac
  started=$(read_value started "$run_dir/events/attempt-$1.end")
  [ "$started" != no ] || return 0
  [ ! -e "$run_dir/metrics/attempt-$1.times" ] || return 1
  for file in "$run_dir"/metrics/attempt-*.times; do
    [ ! -e "$file" ] || return 0
  done
  return 1
}

# decide_next CAUSE CRASHES IDLE REQUEUE_ON MAX_CRASHES [UNFIT]: print continue, end, or by-slurm if Slurm requeues by
# itself. A node that fails the check is excluded, so another try is likely to get better ones; but not for ever.
decide_next() {
  local cause=$1 crashes=$2 idle=$3 causes=" $4 " max_crashes=$5
  case $cause in
    finished | stop | cancel | failed-start | no-restart) echo end && return ;;
    requeue) if [ "${term_seen:-}" = TERM ]; then echo by-slurm; else echo continue; fi && return ;;
  esac
  # unknown: a reason of Slurm's that did not exist when this was written. Unless a person caused the end, continue
  case $cause in bad-node | unknown) causes="${causes/ node-failure / $cause }" ;; esac
  case $causes in *" $cause "*) ;; *) echo end && return ;; esac
  if [ "$idle" -ge 3 ] || [ "${6:-0}" -ge 10 ] || { [[ $cause = crash || $cause = hang ]] && [ "$crashes" -gt "$max_crashes" ]; }; then
    echo end
  elif [ "$cause" = node-failure ]; then
    echo by-slurm
  elif [ "$cause" = preemption ] && { [ "${term_seen:-}" = TERM ] || slurm_holds_early_exits; }; then
    echo by-slurm
  else
    echo continue
  fi
}

# explain_end CAUSE: print why no other attempt follows, or nothing if one may follow
explain_end() {
  local crashes idle unfit what=crashes
  crashes=$(read_value crashes "$run_dir/ledger")
  idle=$(read_value idle "$run_dir/ledger")
  unfit=$(read_value unfit "$run_dir/ledger")
  case $1 in
    preemption | time-limit | node-failure | bad-node | unknown | crash | hang | requeue) ;;
    *) return 0 ;;
  esac
  if [ "${idle:-0}" -ge 3 ]; then
    echo "$idle attempts in a row without a new step"
  elif [ "${unfit:-0}" -ge 10 ]; then
    echo "$unfit attempts in a row with a node that failed the check"
  elif [[ $1 = crash || $1 = hang ]] && [ "${crashes:-0}" -gt "$max_crashes" ]; then
    [ "$1" = crash ] || what='crashes or hangs'
    [ "$crashes" -ne 1 ] || what=$1
    echo "$crashes $what without a new checkpoint; requeue.crashes is $max_crashes"
  fi
}

# From 24.05 on, Slurm requeues a job that exits within the grace time of its preemption, and holds it after the fifth
# time; a job that stays until it is killed is requeued and never held. Some packages print slurm-wlm for slurm.
slurm_holds_early_exits() {
  local version
  version=$(scontrol --version 2>/dev/null | sed -n 's/^slurm[^ ]* \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  [ "${version:-0}" -ge 2405 ]
}

# compute_pause CRASHES: print how many seconds to wait, for faults that pass: 5, 15, 45, ... at most 5 minutes. The job
# keeps its nodes meanwhile, because the start of a requeued job cannot be delayed; Slurm adds its own two minutes.
compute_pause() {
  local seconds=5 count
  for ((count = 1; count < ${1:-1} && seconds < 300; count++)); do seconds=$((seconds * 3)); done
  echo $((seconds < 300 ? seconds : 300))
}
