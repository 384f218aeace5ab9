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

# Exit from a job whose run was stopped or cancelled, or is trained by another job: not with 0, so that no job with
# `--dependency=afterok` starts. 75 is EX_TEMPFAIL of sysexits.h; a training script hardly exits with it.
exit_unfinished() { exit_for_good 75; }

# exit_for_good CODE: exit without continuing the run. Slurm would hold a job with an expedited requeue (sbatch(1), 25.11
# and newer) in the queue, as if it were to restart, if it exited with a code other than 0. If the site lists the code in
# RequeueExit or RequeueExitHold, Slurm would requeue or hold any job, so use another one.
exit_for_good() {
  local requeue_codes code
  [ "$1" -ne 0 ] || exit 0
  ! job_is_expedited || scontrol update JobId="$SLURM_JOB_ID" Requeue=0 >/dev/null 2>&1
  requeue_codes=$(scontrol show config 2>/dev/null | sed -nE 's/^RequeueExit(Hold)? *= *([0-9,-]+).*/\2/p' | tr '\n,' '  ')
  for code in "$1" {75..125} {1..63}; do
    code_is_listed "$code" "$requeue_codes" || exit "$code"
  done
  exit "$1"
}

# code_is_listed CODE RANGES: whether words such as 3 or 7-9 include a number
code_is_listed() {
  local range
  for range in $2; do
    [ "$1" -lt "${range%-*}" ] || [ "$1" -gt "${range#*-}" ] || return 0
  done
  return 1
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
