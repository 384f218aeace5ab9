# ---- shell: the options, variables and programs of the shells that run these functions, whatever the user's do

# Return to bash's defaults: a login profile, BASH_ENV or exported options may have changed them. What the user sets for
# bash, the dynamic loader and other programs is kept as CLUSTERRUN_KEPT_NAME, and exported functions as text: the user's
# shell and the training get all of it back.
# sets: login_functions
reset_shell() {
  local name names text
  set +aefknptuvxCET +o pipefail -B
  shopt -u nullglob failglob dotglob nocaseglob nocasematch extglob globstar expand_aliases xpg_echo lastpipe
  trap - DEBUG ERR RETURN
  IFS=$' \t\n'
  for name in "${!LD_@}" CDPATH GLOBIGNORE EXECIGNORE FUNCNEST BASH_COMPAT BASH_XTRACEFD TMOUT POSIXLY_CORRECT GREP_OPTIONS \
    BLOCKSIZE BLOCK_SIZE DF_BLOCK_SIZE; do
    [ -n "${!name+set}" ] || continue
    [ "$name=${!name}" != FUNCNEST= ] || { unset FUNCNEST; continue; }  # set so by this script
    export "CLUSTERRUN_KEPT_$name=${!name}"
    unset "$name" 2>/dev/null  # a profile may have made it readonly
  done
  set +o posix  # unsets POSIXLY_CORRECT
  login_functions=
  names=$(declare -Fx)
  for name in ${names//declare -fx /}; do
    text=$(declare -f "$name")
    login_functions+=$text$'\n'"export -f $name"$'\n'
    unset -f "$name"
  done
}

# run_for_user PROGRAM VARIABLE=VALUE...: replace this shell by one that runs PROGRAM with the user's variables, which are
# this process's initial ones.
run_for_user() {
  local program=$1 variables
  shift
  mapfile -d '' -t variables < "/proc/$$/environ"
  exec /usr/bin/env -i "${variables[@]/#CLUSTERRUN_KEPT_/}" "$@" /bin/bash -c "$program"
}
