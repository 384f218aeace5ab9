# ---- user-shell: runs the environment of the job spec in a shell of its own, which becomes srun

# Start a shell for the user's modules, setup lines and variables. Options, traps, functions and variables that they set
# there do not reach this shell. Afterwards it becomes a new shell that keeps their variables, folder, limits and
# background processes, and waits for `start_in_user_shell`.
# sets: to_user_shell, user_shell
set_up_environment() {
  local from_user_shell program part answer='' code has_ended='' last_step='' dir
  coproc USER_SHELL { become_user_shell; }
  user_shell=$USER_SHELL_PID to_user_shell=
  exec {from_user_shell}<&"${USER_SHELL[0]}" {to_user_shell}>&"${USER_SHELL[1]}"
  program=$(print_user_program)
  send_to_user_shell "$program"
  program=$(print_own_program)
  send_to_user_shell "$program"
  trap 'note_signal TERM' TERM  # in `read -t` a trap must not do more
  while :; do
    IFS= read -r -d '' -t 0.5 -u "$from_user_shell" part
    code=$?
    answer+=$part  # on a timeout, `read` has consumed a part of a message
    [ -z "$term_seen" ] || end_before_step
    if [ "$code" -ne 0 ]; then
      [ -z "$has_ended" ] || fail_in_environment "$last_step"
      [ "$code" -gt 128 ] && kill -0 "$user_shell" 2>/dev/null || has_ended=1
      continue
    fi
    [[ $answer != "ready "* ]] || break
    last_step=${answer#step } answer=
  done
  trap end_before_step TERM
  [ -z "$term_seen" ] || end_before_step
  exec {from_user_shell}<&-
  answer=${answer#ready } dir=${answer#* }
  ACCELERATE_GRADIENT_ACCUMULATION_STEPS=${answer%% *}
  cd "$dir" || fail "cannot enter $dir on $(hostname)"
}

# The program may be longer than Linux allows for one argument, so the new shell reads it.
become_user_shell() {
  local in out
  trap - TERM USR1 EXIT
  exec {in}<&0 {out}>&1 >&2 < /dev/null
  exec /bin/bash -c 'IFS= read -r -d "" -u "$1"; eval "$REPLY"' bash "$in" "$out"
}

# The user's shell may have ended: that must not end this one.
send_to_user_shell() {
  trap '' PIPE
  { printf '%s\0' "$1" >&"$to_user_shell"; } 2>/dev/null
  trap - PIPE
}

# fail_in_environment STEP: STEP is what the user's shell began last
fail_in_environment() {
  # if that shell has only closed its end, it waits for more
  exec {to_user_shell}>&-
  eval "exec ${USER_SHELL[1]:-$to_user_shell}>&-"
  wait_for_exit "$user_shell"
  case $child_exit_code:$1 in
    0:environment.setup:*) fail "$1 ended the shell of the setup lines" ;;
    *:environment.setup:*) fail "exit code $child_exit_code from $1; append || : to the line to ignore it" ;;
    *:) fail "exit code $child_exit_code while the environment was set up" ;;
    *) fail "$1" ;;
  esac
}

# Print what the user's shell runs: it is a shell like that of a plain job script. Names that begin with clusterrun_ are
# ours there. At its end it becomes a shell (-p: without exported functions and options, and without BASH_ENV) that runs
# what this shell sends.
# sets: clusterrun_name
print_user_program() {
  printf '%s\n' "$login_functions"
  declare -f apply_environment find_modules use_conda use_venv check_launcher check_python print_gpu_kind print_python_check warn_of_missing_secret warn_of_idle_gpus count_local_gpus \
    log_message clusterrun_step clusterrun_check 2>/dev/null
  declare -p run_id run_dir attempt work_dir
  # shellcheck disable=SC2154  # select_member sets it
  declare -p member_variables 2>/dev/null
  cat <<'END_OF_PROGRAM'
readonly clusterrun_out=$2
unalias -a
fail() { clusterrun_step "$*" && exit 1; }
for clusterrun_name in "${!CLUSTERRUN_KEPT_@}"; do
  export "${clusterrun_name#CLUSTERRUN_KEPT_}=${!clusterrun_name}"
  unset "$clusterrun_name"
done
apply_environment
[ -z "${clusterrun_last_step:-}" ] || exit 0
exec /bin/bash -p -c '[ -z "${POSIXLY_CORRECT+set}" ] || export "CLUSTERRUN_KEPT_POSIXLY_CORRECT=$POSIXLY_CORRECT"
set +o posix
while IFS= read -r -d "" -u "$1" clusterrun_program; do eval "$clusterrun_program"; done' bash "$1" "$2"
END_OF_PROGRAM
}

# clusterrun_step TEXT: report what comes next to the batch shell, as the message if it fails
# sets: clusterrun_last_step
clusterrun_step() {
  clusterrun_last_step=$1
  builtin printf 'step %s\0' "$1" >&"${clusterrun_out:-2}"
}

clusterrun_check() { [ "$1" -eq 0 ] || exit "$1"; }

# Print what the shell that follows the user's runs first; it reports the user's folder. A setup line may have redirected
# the output, but the attempt's log is where causes are looked for. A variable of the user's may have the name of one of
# ours, so ours are local.
print_own_program() {
  declare -f reset_shell continue_trackers set_default read_value
  printf 'exec >> %q 2>&1\n' "$run_dir/logs/attempt-$attempt.log"
  printf 'clusterrun_own_part() {\nlocal login_functions sweep_id= member_name=\n'
  declare -p run_id run_dir
  declare -p sweep_id member_name 2>/dev/null
  printf 'reset_shell\nlocal PATH=%q\ncontinue_trackers\n}\nclusterrun_own_part\n' "$PATH"
  cat <<'END_OF_PROGRAM'
printf 'ready %s %s\0' "${ACCELERATE_GRADIENT_ACCUMULATION_STEPS:-1}" "$PWD" >&"$2"
eval "exec $2>&-"
END_OF_PROGRAM
}

# start_in_user_shell VARIABLE... -- COMMAND...: the user's shell exports these variables and becomes COMMAND
start_in_user_shell() {
  local program=$'eval "exec $1<&-"\n' name
  program+=$(declare -f reset_slurm_defaults)$'\nreset_slurm_defaults\n'
  for name in "${!SLURM_JOB@}" SLURM_NNODES SLURM_NODELIST; do  # a spec may have set them
    [ -z "${!name+set}" ] || printf -v program '%sexport %s=%q\n' "$program" "$name" "${!name}"
  done
  while [ "$1" != -- ]; do
    name=$1
    shift
    printf -v program '%sexport %s=%q\n' "$program" "$name" "${!name:-}"
  done
  shift
  # in a local run it is a function
  if declare -F "$1" >/dev/null; then program+=$(declare -f "$1")$'\n'; else program+='exec '; fi
  printf -v program '%s%s' "$program" "$(printf '%q ' "$@")"
  send_to_user_shell "$program"
  exec {to_user_shell}>&-
}
