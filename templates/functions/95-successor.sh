# ---- successor: continues the run as another job that runs this script again

needs_successor() {
  case ${requeue_by:-requeue} in
    successor) return 0 ;;
    requeue) return 1 ;;
  esac
  [ -n "${newly_excluded:-}" ] || ! slurm_takes_back "$1"
}

# Whether Slurm would start this job again: not one that may not be requeued, nor one that it preempts by cancelling.
# Where it does not answer, it is asked for a requeue later, and says then.
slurm_takes_back() {
  local mode
  case $(scontrol show job "$SLURM_JOB_ID" 2>/dev/null) in *" Requeue=0"*) return 1 ;; esac
  mode=$(preempt_mode)
  [ "$1" != preemption ] || [ "$mode" != CANCEL ]
}

# What a preemption does to this job: the partition says so, or the QOS where that decides, else the whole cluster.
preempt_mode() {
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

# It begins when this job has ended. Where sbatch refuses it, its words are in `refusal`, and this job may be requeued.
hand_over_to_successor() {
  local pause=2
  while :; do
    exit_if_cancelled
    ! queue_successor "$1" || leave
    say "no successor: $refusal"
    slurm_is_unreachable "$refusal" || break
    pause=$((pause < 30 ? pause * 2 : 30))
    pause "$pause"
  done
  scontrol update JobId="$SLURM_JOB_ID" Requeue=1 >/dev/null 2>&1
}

# queue_successor CAUSE: exactly once. What is about to happen is written first; a job that an earlier try has queued is
# known by its script. Slurm must not start this job again as well, as newer ones do after a preemption.
# sets: leave_code
queue_successor() {
  local record=$run_dir/events/attempt-$attempt.successor now delay also job
  [ ! -e "$run_dir/cancelled" ] || return 0
  job=$(value job_id "$record")
  [ -z "$job" ] || return 0
  [ ! -e "$record" ] || job=$(find_queued_job)
  now=$(date +%s)
  record "$record" asked="$now"
  if [ -z "$job" ]; then
    delay=$(compute_delay "$1")
    also=$(singleton)
    job=$(submit_again --begin="now+$delay" --dependency="afterany:$SLURM_JOB_ID$also" 2>&1) || { refuse "$job"; return 1; }
    job=${job##*$'\n'} job=${job%%;*}
    case $job in '' | *[!0-9]*) job=$(find_queued_job) ;; esac  # a warning of sbatch's, not its answer
  fi
  record "$record" job_id="$job" asked="$now"
  # too late for a job that Slurm is ending already: if it is expedited and fails, Slurm holds it in the queue, and the
  # successor would wait for it for ever (seen on 26.05)
  scontrol update JobId="$SLURM_JOB_ID" Requeue=0 >/dev/null 2>&1 || ! is_ended_expedited || leave_code=0
  say "job $job continues run $run_id"
  repoint_dependents "$SLURM_JOB_ID" "$job"
}

# Whether this job is expedited, and Slurm is ending it. One that still runs must not leave with 0.
is_ended_expedited() {
  local shown
  shown=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null)
  [[ $shown = *ExpeditedRequeue=Yes* && $shown != *JobState=RUNNING* ]]
}

# What the spec itself makes the job wait for, and the new job's own dependency would hide.
singleton() { ! grep -qs '^#SBATCH --dependency=.*singleton' "$run_dir/job.sbatch" || printf ',singleton'; }

# The words of sbatch for why there is no successor. Some sites let no job be submitted from a node.
# sets: refusal
refuse() {
  local nodes
  refusal=$(printf '%s' "$1" | sed 's/^sbatch: //; s/^error: //' | paste -sd ' ')
  nodes=$(scontrol show partition "${SLURM_JOB_PARTITION:-}" 2>/dev/null | sed -n 's/.*AllocNodes=\([^ ]*\).*/\1/p')
  case $nodes in '' | ALL) ;; *) refusal="$refusal (the partition $SLURM_JOB_PARTITION takes jobs from $nodes only: AllocNodes)" ;; esac
  slurm_is_unreachable "$refusal" || rm -f "$run_dir/events/attempt-$attempt.successor"
}

find_queued_job() {
  squeue --noheader --me --states=PENDING --format='%A %o' 2>/dev/null |
    awk -v id="$SLURM_JOB_ID" -v file="$run_dir/job.sbatch" '$1 != id && substr($0, length($1) + 2) == file {print $1; exit}'
}

# submit_again OPTION...: the new job has the options of the script, not those of this job's environment, and gets no
# variable but the secrets.
submit_again() (
  words=(--parsable "$@" --export="${secrets:+$secrets,}CLUSTERRUN_FIRST_JOB=${CLUSTERRUN_FIRST_JOB:-$SLURM_JOB_ID}")
  nodes=$(list_excluded_nodes)
  [ -z "$nodes" ] || words+=(--exclude="$nodes")
  ! is_expedited || words+=(--requeue=expedite)
  cd "${SLURM_SUBMIT_DIR:-$work_dir}" || exit 1
  for name in "${!SLURM_@}" "${!SBATCH_@}"; do
    case $name in SLURM_CONF | SLURM_JWT) ;; *) unset "$name" ;; esac
  done
  sbatch "${words[@]}" "$run_dir/job.sbatch"
)

# What sbatch is to exclude: the spec's own nodes, and those of this run whose time is not over.
list_excluded_nodes() {
  local file until now together=${exclude:-}
  now=$(date +%s)
  for file in "$run_dir"/nodes/*; do
    until=$(value until "$file")
    [ "${until:-0}" -gt "$now" ] && together=${together:+$together,}${file##*/}
  done
  printf '%s' "$together"
}

# A successor waits in the queue, where it holds no node.
compute_delay() {
  local crashes
  crashes=$(value crashes "$run_dir/ledger")
  case $1 in
    crash | hang) compute_pause "$crashes" ;;
    *) echo 0 ;;
  esac
}

# repoint_dependents OLD NEW: jobs of this user that wait for one job of the run wait for another from now on.
repoint_dependents() {
  local job waits
  squeue --noheader --me --states=PENDING --format='%i|%E' 2>/dev/null | while IFS='|' read -r job waits; do
    [ "$job" != "$2" ] || continue
    waits=$(sed -E "s/\([a-z_ ]*\)//g; s/:$1(\$|[,:?+])/:$2\1/g" <<< "$waits")
    case ,$waits in
      *:"$2" | *:"$2"[,:?+]*) scontrol update JobId="$job" Dependency="$waits" </dev/null && say "job $job now waits for job $2" ;;
    esac
  done
}
