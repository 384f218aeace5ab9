# ---- records: messages, ends for good, and the files of the run folder

say() { printf 'clusterrun: %s\n' "$*" >&2; }

# Leave for a reason that a person must mend; nothing is tried again. Where Slurm is ending the job, a command that failed
# was only ended with it.
fail() {
  local now
  [ -z "${preparing:-}" ] || ! slurm_is_ending_job || end_before_step
  say "$*"
  now=$(date +%s)
  [ -z "${attempt:-}" ] || record "$run_dir/events/attempt-$attempt.end" \
    cause=failed-start reason="$*" next=end exit_code=1 ended="$now"
  exit_for_good 1
}

# Nothing goes on with the run by itself. A job with an expedited requeue (sbatch(1), 25.11 and newer) would be held in
# the queue, as if it came back, when it ends with another code than 0.
exit_for_good() {
  [ "$1" -eq 0 ] || ! is_expedited || scontrol update JobId="$SLURM_JOB_ID" Requeue=0 >/dev/null 2>&1
  exit "$1"
}

is_expedited() {
  case $(scontrol show job "$SLURM_JOB_ID" 2>/dev/null) in *ExpeditedRequeue=Yes*) return 0 ;; esac
  return 1
}

# record FILE KEY=VALUE...: whole, or not there
record() {
  local file=$1
  shift
  (umask 077 && printf '%s\n' "$@" > "$file.$$") && mv -f "$file.$$" "$file"
}

# value KEY FILE: of a record; nothing where there is none
value() { sed -n "s/^$1=//p" "$2" 2>/dev/null | head -n 1; }

# Whether a later attempt has taken over. A file server that does not answer now says nothing of that.
replaced() {
  local current
  current=$(value attempt "$run_dir/current")
  [ -n "$current" ] && [ "$current" != "$attempt" ]
}
