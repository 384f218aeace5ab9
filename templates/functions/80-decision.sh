# ---- decision: whether another attempt follows, by the cause and what was counted

# update_ledger ATTEMPT CAUSE: counts each attempt once. Crashes and hangs in a row are counted until a new checkpoint is
# there, idle attempts until a new step is trained.
update_ledger() {
  local counted crashes idle furthest before checkpoint step
  counted=$(value attempt "$run_dir/ledger")
  [ "$counted" != "$1" ] || return 0
  crashes=$(value crashes "$run_dir/ledger")
  idle=$(value idle "$run_dir/ledger")
  furthest=$(value furthest "$run_dir/ledger")
  before=$(value checkpoint "$run_dir/ledger")
  checkpoint=$(find_newest_checkpoint)
  step=$(value step "$run_dir/progress")
  [ "$checkpoint" = "$before" ] || crashes=0
  idle=$((${idle:-0} + 1))
  ! ended_before_the_step "$1" "$2" || idle=$((idle - 1))
  [ "${step:-0}" -le "${furthest:-0}" ] || idle=0 furthest=$step
  [ -z "${checkpoint_path:-}" ] || [ "$checkpoint" = "$before" ] || idle=0
  # a script that tells nothing, and whose checkpoints are not known, is not judged by its progress
  [ -n "$step$checkpoint${checkpoint_path:-}" ] || [[ $2 = crash || $2 = hang ]] || idle=0
  [[ $2 != crash && $2 != hang ]] || crashes=$((${crashes:-0} + 1))
  [ -z "${signal_seen:-}" ] || return 0  # TERM may have ended what was asked above: ask again
  record "$run_dir/ledger" attempt="$1" crashes="${crashes:-0}" idle="$idle" furthest="${furthest:-0}" checkpoint="$checkpoint"
}

# ended_before_the_step ATTEMPT CAUSE: what was taken away while it prepared says nothing of the training.
ended_before_the_step() {
  local started
  started=$(value started "$run_dir/events/attempt-$1.end")
  case $started:$2 in no:preemption | no:requeue | no:node-failure) return 0 ;; esac
  return 1
}

# decide CAUSE CRASHES IDLE REQUEUE_ON MOST_CRASHES: continue, end, or by-slurm where Slurm requeues by itself
decide() {
  local cause=$1 crashes=$2 idle=$3 causes=" $4 " most=$5
  case $cause in
    finished | stop | cancel | failed-start | no-restart) echo end && return ;;
    requeue) if [ "${term_seen:-}" = TERM ]; then echo by-slurm; else echo continue; fi && return ;;
  esac
  # Slurm's reason is one that nobody knew when this was written: where it is no person's, the run is to go on
  case $cause in bad-node | unknown) causes="${causes/ node-failure / $cause }" ;; esac
  case $causes in *" $cause "*) ;; *) echo end && return ;; esac
  if [ "$idle" -ge 3 ] || { [[ $cause = crash || $cause = hang ]] && [ "$crashes" -gt "$most" ]; }; then
    echo end
  elif [ "$cause" = node-failure ]; then
    echo by-slurm
  elif [ "$cause" = preemption ] && { [ "${term_seen:-}" = TERM ] || slurm_holds_early_exits; }; then
    echo by-slurm
  else
    echo continue
  fi
}

# Why there is no other attempt after CAUSE, in words; nothing where one may begin.
explain_end() {
  local crashes idle what=crashes
  crashes=$(value crashes "$run_dir/ledger")
  idle=$(value idle "$run_dir/ledger")
  case $1 in
    preemption | time-limit | node-failure | bad-node | unknown | crash | hang | requeue) ;;
    *) return 0 ;;
  esac
  if [ "${idle:-0}" -ge 3 ]; then
    echo "$idle attempts in a row without a new step"
  elif [[ $1 = crash || $1 = hang ]] && [ "${crashes:-0}" -gt "$most_crashes" ]; then
    [ "$1" = crash ] || what='crashes or hangs'
    echo "$crashes $what without a new checkpoint, and requeue.crashes is $most_crashes"
  fi
}

# From 24.05 on, Slurm requeues a job that ends within the grace of its preemption, and holds it after the fifth time;
# a job that stays until it is killed is requeued and never held. Some packages call their Slurm slurm-wlm.
slurm_holds_early_exits() {
  local version
  version=$(scontrol --version 2>/dev/null | sed -n 's/^slurm[^ ]* \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  [ "${version:-0}" -ge 2405 ]
}

# Seconds to wait after so many crashes, for what may mend itself: 5, 15, 45, ... at most 5 minutes. The nodes are held
# meanwhile, because a requeued job's begin cannot be put off; Slurm's own delay of two minutes comes on top.
compute_pause() {
  local seconds=5 count
  for ((count = 1; count < $1 && seconds < 300; count++)); do seconds=$((seconds * 3)); done
  echo $((seconds < 300 ? seconds : 300))
}
