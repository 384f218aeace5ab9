# ---- notify: tells people how an attempt ended

# When this shell leaves, whatever for: what it has written down is told. That delays the end by five seconds at most,
# two where Slurm's kill is on its way, and changes nothing of it: not the exit code either.
notify_at_exit() {
  local seconds=5
  trap '' TERM USR1
  [ -z "${term_seen:-}" ] || seconds=2
  [ -z "${attempt:-}" ] || notify_of_attempt "$attempt" 'finished gave-up requeued' "$seconds"
}

# An attempt that was killed outright could tell nobody. The next one does it, when it begins.
notify_of_previous_attempt() {
  local last
  last=$(last_attempt "$attempt")
  [ -z "$last" ] || notify_of_attempt "$last" requeued 5
}

# notify_of_attempt ATTEMPT EVENTS SECONDS: once
notify_of_attempt() {
  local attempt=$1 file=$run_dir/events/attempt-$1 cause next event reason step
  [ ! -e "$file.told" ] || return 0
  cause=$(value cause "$file.end")
  next=$(value next "$file.end")
  event=$(find_event "$next" "$cause")
  case " $2 " in *" ${event:-none} "*) ;; *) return 0 ;; esac
  reason=$(value reason "$file.end")
  step=$(value step "$file.end")
  send_all "$event" "$cause" "$reason" "$step" "$3"
  (umask 077 && : > "$file.told") 2>/dev/null
  return 0
}

# find_event NEXT CAUSE: nothing for an end that a person asked for, and where none is written
find_event() {
  case $1:$2 in
    end:finished) echo finished ;;
    end:stop | end:cancel) ;;
    end:?*) echo gave-up ;;
    continue:?* | by-slurm:?*) echo requeued ;;
  esac
}

# send_all EVENT CAUSE REASON STEP SECONDS: to every place that wants to hear of it; a test goes to all. Returns how many
# were not reached.
send_all() {
  local notice text end left missed=0 kind shape to
  text="$run_id: ${1/-/ }${3:+: $3}"
  [ -n "$3" ] || [ "$1" = finished ] || text="$text: $2"
  text="$text (attempt $((10#${attempt:-0}))${4:+, step $4}, job ${SLURM_JOB_ID:-none})"
  end=$((SECONDS + $5))
  for notice in "${notices[@]}"; do
    kind=${notice%% *} notice=${notice#* } shape=${notice%% *} notice=${notice#* } to=${notice%% *} notice=${notice#* }
    case " $notice test " in *" $1 "*) ;; *) continue ;; esac
    left=$((end - SECONDS))
    if [ "$left" -le 0 ]; then
      say "notify: no time was left for $to"
      missed=$((missed + 1))
    elif "send_$kind" "$to" "$shape" "$left" "$text" "$@"; then
      say "notify: $1: $to was told"
    else
      missed=$((missed + 1))
    fi
  done
  return "$missed"
}

# send_webhook VARIABLE SHAPE SECONDS TEXT EVENT CAUSE REASON STEP: the address is a secret, so curl reads it from a
# pipe, and only the number of its error is told.
send_webhook() {
  local url body code
  url=${!1:-}
  [ -n "$url" ] || { say "notify: $1 is not set"; return 1; }
  command -v curl >/dev/null || { say "notify: no curl on $(hostname), so $1 was not told"; return 1; }
  body=$(print_body "$2" "${@:4}")
  url=$(quoted "$url")
  body=$(quoted "$body")
  printf '%s\n' "url = $url" "data-raw = $body" 'header = "Content-Type: application/json"' 'proto = "=http,https"' |
    curl -q --silent --fail --output /dev/null --max-time "$3" --config - 2>/dev/null
  code=$?
  [ "$code" -eq 0 ] || say "notify: $1 was not told: curl ended with $code"
  return "$code"
}

# print_body SHAPE TEXT EVENT CAUSE REASON STEP: what Slack and Discord want of a message, or all facts
print_body() {
  local text event cause reason step run
  text=$(quoted "$2")
  case $1 in
    slack) printf '{"text": %s}' "$text" && return ;;
    discord) printf '{"content": %s}' "$text" && return ;;
  esac
  event=$(quoted "$3")
  cause=$(quoted "$4")
  reason=$(quoted "$5")
  run=$(quoted "$run_id")
  step=${6:-null}
  printf '{"run": %s, "event": %s, "cause": %s, "reason": %s, "step": %s, "attempt": %d, "job_id": "%s", "text": %s}' \
    "$run" "$event" "$cause" "$reason" "$step" "$((10#${attempt:-0}))" "${SLURM_JOB_ID:-}" "$text"
}

# A text between double quotes, as JSON and curl's config have it; what is no plain character is a question mark.
quoted() {
  local text
  text=$(printf '%s' "$1" | LC_ALL=C tr -c '\040-\176' '?')
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# send_mail ADDRESS - SECONDS TEXT EVENT ...: by the node's own mail program, or where it has none, by Slurm's
send_mail() {
  local subject="clusterrun: $run_id: $5" code
  if command -v mail >/dev/null; then
    printf '%s\n' "$4" | timeout "$3" mail -s "$subject" "$1" >/dev/null 2>&1
  elif command -v sendmail >/dev/null; then
    printf 'To: %s\nSubject: %s\n\n%s\n' "$1" "$subject" "$4" | timeout "$3" sendmail -t >/dev/null 2>&1
  else
    mail_by_slurm "$1" "$3" "$5" && return
    say "notify: neither mail nor sendmail on $(hostname), so $1 was not told"
    return 1
  fi
  code=$?
  [ "$code" -eq 0 ] || say "notify: $1 was not told: the mail program ended with $code"
  return "$code"
}

# mail_by_slurm ADDRESS SECONDS EVENT: Slurm's END mail is of every job that ends, also where the run goes on; so it is
# asked for at the end that is to be told, and for one address. What the spec has asked Slurm for itself stays.
# sets: mailed_by_slurm
mail_by_slurm() {
  case ${SLURM_JOB_ID:+$3} in finished | gave-up) ;; *) return 1 ;; esac
  [ -z "${mailed_by_slurm:-}" ] && ! grep -qs '^#SBATCH --mail-' "$run_dir/job.sbatch" || return 1
  timeout "$2" scontrol update JobId="${array_job:-$SLURM_JOB_ID}" MailUser="$1" \
    MailType="END,FAIL${array_job:+,ARRAY_TASKS}" >/dev/null 2>&1 || return 1
  mailed_by_slurm=$1
  say "notify: no mail program on $(hostname): Slurm tells $1 at the end of this job"
}
