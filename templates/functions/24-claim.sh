# ---- claim: claims the number of an attempt for one job

# claim_attempt [LAST]: noclobber opens with O_EXCL: if two jobs try, one gets the number. The other one sees that the first is
# running, and exits. An earlier attempt of the same job is dead, or fenced by `current`.
# sets: attempt, claim
claim_attempt() {
  local number job
  number=$(find_last_attempt)
  number=$((10#${number:-0}))
  while :; do
    number=$((number + 1))
    attempt=$(printf '%04d' "$number")
    (umask 077 && set -o noclobber && print_begin_record > "$run_dir/events/attempt-$attempt.begin") 2>/dev/null && break
    check_number_is_taken "$run_dir/events/attempt-$attempt.begin"
  done
  claim=$run_dir/events/attempt-$attempt.begin
  job=$(find_training_job "${1:-}")
  if [ -n "$job" ]; then
    log_message "job $job is already training run $run_id"
    give_up_claim
    exit_unfinished
  fi
}

# Remove a claim that was not confirmed; also when this shell exits.
# sets: attempt, claim
give_up_claim() {
  [ -n "${claim:-}" ] || return 0
  rm -f "$claim"
  claim='' attempt=''
}

# find_training_job LAST: print another job that may train one of the attempts since LAST.
find_training_job() {
  local file name job
  for file in "$run_dir"/events/attempt-*.begin; do
    name=${file##*/attempt-} name=${name%.begin}
    if [[ $name < ${1:-} ]] || ! [[ $name < $attempt ]]; then continue; fi
    job=$(read_value job_id "$file")
    if [ -n "$job" ] && [ "$job" != "$SLURM_JOB_ID" ] && job_is_training "$job" "$name"; then echo "$job" && return; fi
  done
}

# job_is_training JOB ATTEMPT: whether a job has nodes, and processes that may train, also while it is suspended. If the
# attempt has recorded its end, only what Slurm is ending can have some, and is waited for. If Slurm does not respond: no,
# because the attempt that is replaced here finds that out in `current`.
job_is_training() {
  local active try
  for try in {1..60}; do
    active=$(find_active_job "$1")
    case ${active##* } in
      '' | PENDING | REQUEUE* | SPECIAL_EXIT | UNKNOWN) return 1 ;;
      COMPLETING | STAGE_OUT) sleep_until_signal 2 ;;
      *)
        [ ! -e "$run_dir/events/attempt-$2.end" ]
        return
        ;;
    esac
  done
  return 1
}

# If another job took the number, its record has content. An empty record is our own: no space is left on the disk.
check_number_is_taken() {
  local attempt=
  [ -e "$1" ] || fail "cannot write to $run_dir/events"
  [ -s "$1" ] || sleep_until_signal 1
  [ -s "$1" ] && return 0
  rm -f "$1"
  fail "no space left in $run_dir/events: the disk is full or a quota is exceeded"
}

print_begin_record() {
  printf '%s\n' "job_id=$SLURM_JOB_ID" "restart=${SLURM_RESTART_COUNT:-0}" "nodes=$SLURM_JOB_NODELIST" \
    "cluster=${SLURM_CLUSTER_NAME:-}" "by=$requeue_by" "began=$(date +%s)"
}

# find_last_attempt [BEFORE]: print the number of the latest attempt, or of the latest before BEFORE; nothing without one
find_last_attempt() {
  local file name last=
  for file in "$run_dir"/events/attempt-*.begin; do
    name=${file##*/attempt-} name=${name%.begin}
    [ -e "$file" ] && { [ -z "${1:-}" ] || [[ "$name" < "$1" ]]; } && last=$name
  done
  printf '%s' "$last"
}

# find_deciding_attempt [BEFORE]: print the number of the attempt that decides how the run continues: the latest one. If a
# job was killed between its claim and the record `current`, it has trained nothing, and the attempt in `current` decides.
find_deciding_attempt() {
  local last current
  last=$(find_last_attempt "${1:-}")
  current=$(read_value attempt "$run_dir/current")
  if [ -n "$current" ] && [[ $current < $last ]] && [ ! -e "$run_dir/events/attempt-$last.end" ]; then last=$current; fi
  printf '%s' "$last"
}
