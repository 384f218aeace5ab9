# ---- records: log messages, exits for good, and the records in the run folder

log_message() { printf 'clusterrun: %s\n' "$*" >&2; }

# Exit for a reason that a person must fix: nothing is retried. If Slurm is ending the job, the command failed only
# because of that.
fail() {
  local now
  [ -z "${in_preparation:-}" ] || ! slurm_is_ending_job || end_before_step
  log_message "$*"
  now=$(date +%s)
  [ -z "${attempt:-}" ] || write_record "$run_dir/events/attempt-$attempt.end" \
    cause=failed-start reason="$*" next=end exit_code=1 ended="$now"
  exit_for_good 1
}

# Exit without continuing the run. Slurm would hold a job with an expedited requeue (sbatch(1), 25.11 and newer) in the
# queue, as if it were to restart, if it exited with a code other than 0.
exit_for_good() {
  [ "$1" -eq 0 ] || ! job_is_expedited || scontrol update JobId="$SLURM_JOB_ID" Requeue=0 >/dev/null 2>&1
  exit "$1"
}

job_is_expedited() {
  case $(scontrol show job "$SLURM_JOB_ID" 2>/dev/null) in *ExpeditedRequeue=Yes*) return 0 ;; esac
  return 1
}

# write_record FILE KEY=VALUE...: readers see the whole record or none
write_record() {
  local file=$1
  shift
  (umask 077 && printf '%s\n' "$@" > "$file.$$") && mv -f "$file.$$" "$file"
}

# read_value KEY FILE: print the value of a record's key, or nothing
read_value() { sed -n "s/^$1=//p" "$2" 2>/dev/null | head -n 1; }

# Whether a later attempt has taken over. A file server that does not respond does not prove that.
attempt_is_replaced() {
  local current
  current=$(read_value attempt "$run_dir/current")
  [ -n "$current" ] && [ "$current" != "$attempt" ]
}
