# ---- successor: continues the run in another job that runs this script again

needs_successor() {
  case ${requeue_by:-requeue} in
    successor) return 0 ;;
    requeue) return 1 ;;
  esac
  [ -n "${new_exclusions:-}" ] || ! slurm_would_requeue "$1"
}

# hand_over_to_successor CAUSE: the successor starts when this job has ended. If sbatch refuses it, the reason is in
# `refusal`, and this job may be requeued.
hand_over_to_successor() {
  local delay_s=2
  while :; do
    exit_if_cancelled
    ! queue_successor "$1" || exit_with_step_code
    log_message "successor job refused: $refusal"
    slurm_is_unreachable "$refusal" || break
    delay_s=$((delay_s < 30 ? delay_s * 2 : 30))
    pause_unless_cancelled "$delay_s"
  done
  scontrol update JobId="${array_job:-$SLURM_JOB_ID}" Requeue=1 >/dev/null 2>&1
}

# queue_successor CAUSE: queue it exactly once. The intent is recorded first, and a job that an earlier try has queued is
# recognized by its script. Slurm must not restart this job as well, as it does from 24.05 on after a preemption.
# sets: exit_code_override
queue_successor() {
  local file=$run_dir/events/attempt-$attempt.successor own=${array_job:-$SLURM_JOB_ID} now delay_s singleton job
  [ ! -e "$run_dir/cancelled" ] || return 0
  job=$(read_value job_id "$file")
  [ -z "$job" ] || return 0
  [ -z "$array_job" ] || (umask 077 && cp "$0" "$run_dir/job.sbatch")  # only the array's folder has it
  [ ! -e "$file" ] || job=$(find_queued_successor)
  now=$(date +%s)
  write_record "$file" requested_at="$now"
  if [ -z "$job" ]; then
    delay_s=$(compute_delay "$1")
    singleton=$(print_singleton_dependency)
    job=$(submit_again --begin="now+$delay_s" --dependency="afterany:$own$singleton" 2>&1) ||
      { set_refusal "$job"; return 1; }
    job=${job##*$'\n'} job=${job%%;*}
    case $job in '' | *[!0-9]*) job=$(find_queued_successor) ;; esac  # sbatch printed a warning in place of the id
  fi
  write_record "$file" job_id="$job" requested_at="$now"
  # fails if Slurm is already ending the job: if it is expedited and fails, Slurm holds it in the queue, and the
  # successor would wait for it forever (seen on 26.05)
  scontrol update JobId="$own" Requeue=0 >/dev/null 2>&1 || ! expedited_job_is_ending || exit_code_override=0
  log_message "run $run_id continues in job $job"
  repoint_dependents "$own" "$job${array_job:+_$SLURM_ARRAY_TASK_ID}"
}

# Whether this job is expedited and Slurm is ending it. A job that still runs must not exit with 0.
expedited_job_is_ending() {
  local job_info
  job_info=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null)
  [[ $job_info = *ExpeditedRequeue=Yes* && $job_info != *JobState=RUNNING* ]]
}

# Repeat a singleton dependency of the spec, which the dependency of the new job would replace.
print_singleton_dependency() { ! grep -qs '^#SBATCH --dependency=.*singleton' "$run_dir/job.sbatch" || printf ',singleton'; }

# set_refusal OUTPUT: sbatch's reason for refusing the successor. Some sites allow no submission from a node.
# sets: refusal
set_refusal() {
  local nodes
  refusal=$(printf '%s' "$1" | sed 's/^sbatch: //; s/^error: //' | paste -sd ' ')
  nodes=$(scontrol show partition "${SLURM_JOB_PARTITION:-}" 2>/dev/null | sed -n 's/.*AllocNodes=\([^ ]*\).*/\1/p')
  case $nodes in
    '' | ALL) ;;
    *) refusal="$refusal (partition $SLURM_JOB_PARTITION accepts jobs only from $nodes: AllocNodes)" ;;
  esac
  slurm_is_unreachable "$refusal" || rm -f "$run_dir/events/attempt-$attempt.successor"
}

find_queued_successor() { list_queued_jobs_of_script | head -n 1; }

# submit_again OPTION...: submit this script again, with its own options and not those in this job's environment, and
# with no variables but the secrets. A task of an array continues as an array of this task.
submit_again() (
  first_job=${CLUSTERRUN_FIRST_JOB:-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}
  options=(--parsable "$@" --export="${secrets:+$secrets,}CLUSTERRUN_FIRST_JOB=$first_job")
  [ -z "$array_job" ] || options+=(--array="$SLURM_ARRAY_TASK_ID")
  nodes=$(list_excluded_nodes)
  [ -z "$nodes" ] || options+=(--exclude="$nodes")
  ! job_is_expedited || options+=(--requeue=expedite)
  cd "${SLURM_SUBMIT_DIR:-$work_dir}" || exit 1
  for name in "${!SLURM_@}" "${!SBATCH_@}"; do
    case $name in SLURM_CONF | SLURM_JWT) ;; *) unset "$name" ;; esac
  done
  sbatch "${options[@]}" "$run_dir/job.sbatch"
)

# Print the nodes for sbatch --exclude: those of the spec, and those that this run still excludes.
list_excluded_nodes() {
  local file until now nodes=${exclude:-}
  now=$(date +%s)
  for file in "$run_dir"/nodes/*; do
    until=$(read_value until "$file")
    [ "${until:-0}" -gt "$now" ] && nodes=${nodes:+$nodes,}${file##*/}
  done
  printf '%s' "$nodes"
}

# compute_delay CAUSE: print after how many seconds the successor may start; it waits in the queue and keeps no nodes.
compute_delay() {
  local crashes
  crashes=$(read_value crashes "$run_dir/ledger")
  case $1 in
    crash | hang) compute_pause "$crashes" ;;
    *) echo 0 ;;
  esac
}

# repoint_dependents OLD NEW: make the jobs of this user that depend on OLD depend on NEW.
repoint_dependents() {
  local job dependency
  squeue --noheader --me --states=PENDING --format='%i|%E' 2>/dev/null | while IFS='|' read -r job dependency; do
    [ "$job" != "$2" ] || continue
    dependency=$(sed -E "s/\([a-z_ ]*\)//g; s/:$1(\$|[,:?+])/:$2\1/g" <<< "$dependency")
    case ,$dependency in
      *:"$2" | *:"$2"[,:?+]*)
        scontrol update JobId="$job" Dependency="$dependency" </dev/null && log_message "job $job now depends on job $2"
        ;;
    esac
  done
}
