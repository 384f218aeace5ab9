# ---- notify: notifies people of the end of an attempt

# Runs when this shell exits, for any reason: send a notification of the recorded end. This delays the exit by at most
# five seconds, two if Slurm is about to kill the job, and does not change the exit code.
notify_at_exit() {
  local seconds=5
  trap '' TERM USR1
  [ -z "${term_seen:-}" ] || seconds=2
  [ -z "${attempt:-}" ] || notify_of_attempt "$attempt" 'finished gave-up requeued' "$seconds"
}

# An attempt that was killed outright could notify nobody: the next attempt does it at its start.
notify_of_previous_attempt() {
  local last
  last=$(find_last_attempt "$attempt")
  [ -z "$last" ] || notify_of_attempt "$last" requeued 5
}

# notify_of_attempt ATTEMPT EVENTS SECONDS: notify of the end of an attempt, once, if it is one of these events
notify_of_attempt() {
  local attempt=$1 file=$run_dir/events/attempt-$1 cause next event reason step
  [ ! -e "$file.notified" ] || return 0
  cause=$(read_value cause "$file.end")
  next=$(read_value next "$file.end")
  event=$(find_event "$next" "$cause")
  case " $2 " in *" ${event:-none} "*) ;; *) return 0 ;; esac
  reason=$(read_value reason "$file.end")
  step=$(read_value step "$file.end")
  send_all "$event" "$cause" "$reason" "$step" "$3"
  (umask 077 && : > "$file.notified") 2>/dev/null
  return 0
}

# find_event NEXT CAUSE: print the event; nothing if a person requested the end, or if no end is recorded
find_event() {
  case $1:$2 in
    end:finished) echo finished ;;
    end:stop | end:cancel) ;;
    end:?*) echo gave-up ;;
    continue:?* | by-slurm:?*) echo requeued ;;
  esac
}

# send_all EVENT CAUSE REASON STEP SECONDS: notify every recipient of this event; a test goes to all recipients. Returns
# how many could not be notified.
send_all() {
  local notice text not_finite end seconds_left failures=0 kind shape recipient
  text="$run_id: ${1/-/ }${3:+: $3}"
  [ -n "$3" ] || [ "$1" = finished ] || text="$text: $2"
  not_finite=$(read_value loss_not_finite_since "${run_dir:-}/progress")
  text="$text${not_finite:+; the loss is not finite since step $not_finite}"
  text="$text (attempt $((10#${attempt:-0}))${4:+, step $4}, job ${SLURM_JOB_ID:-none})"
  end=$((SECONDS + $5))
  for notice in "${notices[@]}"; do
    kind=${notice%% *} notice=${notice#* } shape=${notice%% *} notice=${notice#* }
    recipient=${notice%% *} notice=${notice#* }
    case " $notice test " in *" $1 "*) ;; *) continue ;; esac
    seconds_left=$((end - SECONDS))
    if [ "$seconds_left" -le 0 ]; then
      log_message "notify: no time left to notify $recipient"
      failures=$((failures + 1))
    elif "send_$kind" "$recipient" "$shape" "$seconds_left" "$text" "$@"; then
      log_message "notify: sent $1 to $recipient"
    else
      failures=$((failures + 1))
    fi
  done
  return "$failures"
}

# send_webhook VARIABLE SHAPE SECONDS TEXT EVENT CAUSE REASON STEP: the URL is a secret, so curl reads it from a pipe,
# and only curl's exit code is logged.
send_webhook() {
  local url body code
  url=${!1:-}
  [ -n "$url" ] || { log_message "notify: $1 is not set"; return 1; }
  command -v curl >/dev/null || { log_message "notify: $1 was not notified: curl not found on $(hostname)"; return 1; }
  body=$(print_body "$2" "${@:4}")
  url=$(quote_text "$url")
  body=$(quote_text "$body")
  printf '%s\n' "url = $url" "data-raw = $body" 'header = "Content-Type: application/json"' 'proto = "=http,https"' |
    curl -q --silent --fail --output /dev/null --max-time "$3" --config - 2>/dev/null
  code=$?
  [ "$code" -eq 0 ] || log_message "notify: $1 was not notified: curl failed with exit code $code"
  return "$code"
}

# print_body SHAPE TEXT EVENT CAUSE REASON STEP: the JSON that Slack or Discord expects, or one with all facts
print_body() {
  local text event cause reason step run
  text=$(quote_text "$2")
  case $1 in
    slack) printf '{"text": %s}' "$text" && return ;;
    discord) printf '{"content": %s}' "$text" && return ;;
  esac
  event=$(quote_text "$3")
  cause=$(quote_text "$4")
  reason=$(quote_text "$5")
  run=$(quote_text "$run_id")
  step=${6:-null}
  printf '{"run_id": %s, "event": %s, "cause": %s, "reason": %s, "step": %s, "attempt": %d, "job_id": "%s", "text": %s}' \
    "$run" "$event" "$cause" "$reason" "$step" "$((10#${attempt:-0}))" "${SLURM_JOB_ID:-}" "$text"
}

# Print a text in double quotes, valid in JSON and in curl's config; other than printable ASCII becomes a question mark.
quote_text() {
  local text
  text=$(printf '%s' "$1" | LC_ALL=C tr -c '\040-\176' '?')
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# send_mail ADDRESS - SECONDS TEXT EVENT ...: use the mail program of the node, or Slurm's mail without one
send_mail() {
  local subject="clusterrun: $run_id: $5" code
  if command -v mail >/dev/null; then
    printf '%s\n' "$4" | timeout "$3" mail -s "$subject" "$1" >/dev/null 2>&1
  elif command -v sendmail >/dev/null; then
    printf 'To: %s\nSubject: %s\n\n%s\n' "$1" "$subject" "$4" | timeout "$3" sendmail -t >/dev/null 2>&1
  else
    request_mail_by_slurm "$1" "$3" "$5" && return
    log_message "notify: $1 was not notified: neither mail nor sendmail found on $(hostname)"
    return 1
  fi
  code=$?
  [ "$code" -eq 0 ] || log_message "notify: $1 was not notified: the mail program failed with exit code $code"
  return "$code"
}

# request_mail_by_slurm ADDRESS SECONDS EVENT: Slurm sends its END mail for every job that ends, even if the run
# continues; so request it only at the final end, and for one address. Mail options of the spec have precedence.
# sets: slurm_mail_address
request_mail_by_slurm() {
  case ${SLURM_JOB_ID:+$3} in finished | gave-up) ;; *) return 1 ;; esac
  [ -z "${slurm_mail_address:-}" ] && ! grep -qs '^#SBATCH --mail-' "$run_dir/job.sbatch" || return 1
  timeout "$2" scontrol update JobId="${array_job:-$SLURM_JOB_ID}" MailUser="$1" \
    MailType="END,FAIL${array_job:+,ARRAY_TASKS}" >/dev/null 2>&1 || return 1
  slurm_mail_address=$1
  log_message "notify: no mail program on $(hostname); Slurm sends mail to $1 when this job ends"
}
