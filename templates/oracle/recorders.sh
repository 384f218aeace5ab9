# shellcheck shell=bash disable=SC2034,SC2317,SC2120,SC2329
# The recorders: functions in the place of every program that an old script calls (starter/oracle). They are all that runs:
# PATH is empty, and bash is restricted after this text, so that it can start no program, write no file and not leave its
# folder (bash(1), RESTRICTED SHELL). What they print depends only on the pretended job. `__token` prints a value that is new
# at each call.

enable -n kill exec source . cd pushd popd ulimit umask suspend logout history fc hash bind enable
FUNCNEST=60
__zero=/var/spool/slurmd/slurm_script
__pid=424$__node
RANDOM=$((4242 + __node))
declare -A __files=()
__sleeps=0

# __emit KIND LINE WORD...: one event; its fields are separated by U+001F, and it ends with U+001E
__emit() {
  local IFS=$' \t\n' __text=$1$'\x1f'$2$'\x1f'$PWD$'\x1f' __name __names
  shift 2
  __text+=$#
  for __name; do __text+=$'\x1f'$__name; done
  mapfile -t __names < <(compgen -e)
  for __name in "${__names[@]}"; do __text+=$'\x1f'$__name=${!__name}; done
  mapfile -t __names < <(declare -Fx)
  for __name in "${__names[@]}"; do __text+=$'\x1f'$'\x1d'$(declare -f "${__name##* }"); done
  printf '%s\x1e\n' "$__text" >&7
}
__line() { echo "${BASH_LINENO[${#BASH_LINENO[@]} - 2]:-0}"; }
__start() { __emit start "${BASH_LINENO[1]}" "$@"; }
__run() {
  [ $# -gt 0 ] || return 0
  case $(type -t -- "$1") in
    function | builtin) "$@" ;;
    *) __emit start "${BASH_LINENO[0]}" "$@"; __answer "$@" ;;
  esac
}
command_not_found_handle() { __emit start "${BASH_LINENO[0]}" "$@"; __answer "$@"; }
__token() { printf '\x1c%s:%s:%s\x1c' "$1" "$__node" "$BASHPID"; }
# What an unknown program prints: the same for the same words.
__answer() {
  local text=$* sum=7 letter i
  for ((i = 0; i < ${#text} && i < 200; i++)); do
    printf -v letter '%d' "'${text:i:1}"
    sum=$(((sum * 31 + letter) % 99991))
  done
  printf 'output%s' "$sum"
}
__file() {
  local text
  IFS= read -r -d '' text
  case $1 in '>>') __files[$2]+=$text ;; *) __files[$2]=$text ;; esac
  __emit file "${BASH_LINENO[0]}" "$2" "$text"
}
__contents() { if [[ -v "__files[$1]" ]]; then printf '%s' "${__files[$1]}"; else __answer cat "$1"; fi; }

exec() { [ $# -gt 0 ] || return 0; __run "$@"; exit 0; }
command() {
  case $1 in -v | -V) builtin command "$@"; return ;; -p) shift ;; esac
  __run "$@"
}
source() { __emit source "${BASH_LINENO[0]}" "$@"; }
.() { __emit source "${BASH_LINENO[0]}" "$@"; }
cd() {
  local folder=${1:-$HOME}
  case $folder in --) folder=${2:-$HOME} ;; -) folder=$OLDPWD ;; -[LP]) folder=$2 ;; esac
  case $folder in /*) ;; .) return ;; *) folder=$PWD/${folder#./} ;; esac
  OLDPWD=$PWD
  case $folder in */..) folder=${folder%/..}; folder=${folder%/*} ;; esac
  PWD=${folder%/}
  export PWD OLDPWD
}
pushd() { __stack+=("$PWD"); cd "$1"; }
popd() { [ "${#__stack[@]}" -eq 0 ] || { cd "${__stack[-1]}"; unset "__stack[-1]"; }; }
pwd() { printf '%s\n' "$PWD"; }
module() { __emit module "${BASH_LINENO[0]}" "$@"; }
ml() {
  case ${1:-} in
    load | add | purge | list | use | unload | reset | avail | '') module "$@" ;;
    *) module load "$@" ;;
  esac
}
conda() {
  case ${1:-} in
    activate | deactivate) __emit activate "${BASH_LINENO[0]}" conda "$@" ;;
    info) printf '/opt/conda-of-the-shell\n' ;;
    shell.*) ;;
    *) __emit start "${BASH_LINENO[0]}" conda "$@" ;;
  esac
}
mamba() { case ${1:-} in shell | shell.*) ;; *) conda "$@" ;; esac; }
micromamba() { mamba "$@"; }
deactivate() { :; }
find_modules() { :; }
use_venv() { __emit source "${BASH_LINENO[0]}" "$1/bin/activate"; }
use_conda() { __emit activate "${BASH_LINENO[0]}" conda activate "$1"; }
wait() { builtin wait; }
sleep() { [ $((__sleeps += 1)) -lt 40 ] || exit 0; }
date() { case $* in +%s) echo $((1700000000 + __node)) ;; *) __token date ;; esac; }
mktemp() { __token mktemp; }
uuidgen() { __token uuidgen; }
shuf() { __token shuf; }
hostname() {
  case ${1:-} in
    -i | -I | --ip-address | --all-ip-addresses) printf '10.0.0.%s\n' "$((__node + 1))" ;;
    *) printf 'node%s\n' "$__node" ;;
  esac
}
uname() { echo Linux; }
whoami() { echo "$USER"; }
id() { echo 1000; }
nproc() { echo "${SLURM_CPUS_PER_TASK:-1}"; }
scontrol() {
  local list=${3:-$SLURM_JOB_NODELIST}
  case "$1 ${2:-}" in
    'show hostnames' | 'show hostname')
      case $list in
        "$SLURM_JOB_NODELIST") for ((i = 0; i < SLURM_JOB_NUM_NODES; i++)); do echo "node$i"; done ;;
        *) echo "$list" ;;
      esac ;;
    'show '*) __answer scontrol "$@" ;;
    *) __emit start "${BASH_LINENO[0]}" scontrol "$@" ;;
  esac
}
srun() {
  case " $* " in
    *' hostname '*) hostname "${@: -1:1}" ;;
    *) __emit srun "${BASH_LINENO[0]}" "$@" ;;
  esac
}
bash() { __emit bash "${BASH_LINENO[0]}" bash "$@"; }
sh() { __emit bash "${BASH_LINENO[0]}" bash "$@"; }
basename() { local path=${1%/}; path=${path##*/}; printf '%s\n' "${path%"${2:-}"}"; }
dirname() { case $1 in */*) printf '%s\n' "${1%/*}" ;; *) echo . ;; esac; }
realpath() { case ${*: -1} in /*) echo "${*: -1}" ;; *) echo "$PWD/${*: -1}" ;; esac; }
readlink() { realpath "$@"; }
seq() {
  local first=1 step=1 last=$1 i
  case $# in 2) first=$1 last=$2 ;; 3) first=$1 step=$2 last=$3 ;; esac
  for ((i = first; i <= last; i += step)); do echo "$i"; done
}
cat() {
  local line name
  if [ $# -gt 0 ] && [ "$1" != - ]; then for name; do __contents "$name"; done; return; fi
  while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done
}
head() { __lines "$@" | { local n=${1:-10}; mapfile -t lines; n=$(__count "$@"); printf '%s\n' "${lines[@]:0:n}"; }; }
tail() {
  __lines "$@" | {
    mapfile -t lines
    n=$(__count "$@")
    case " $* " in *' +'*) printf '%s\n' "${lines[@]:n - 1}" ;; *) [ "$n" -ge "${#lines[@]}" ] && n=${#lines[@]}; printf '%s\n' "${lines[@]: -n}" ;; esac
  }
}
__count() { case ${1:-} in -n | -n+) echo "${2#+}" ;; -n*) echo "${1#-n}" ;; -[0-9]*) echo "${1#-}" ;; *) echo 10 ;; esac; }
__lines() { case ${*: -1} in '' | -* | +* | [0-9]*) cat ;; *) cat "${*: -1}" ;; esac; }
wc() { local lines; mapfile -t lines; echo "${#lines[@]}"; }
sort() { cat; }
uniq() { cat; }
tee() { cat; }
tr() {
  local text to=$2
  IFS= read -r -d '' text
  case $1 in
    -d) printf '%s' "${text//["$to"]/}" ;;
    '\n') text=${text%$'\n'}; printf '%s' "${text//$'\n'/$to}$to" ;;
    *) case $to in '\n') to=$'\n' ;; esac; case $1 in ?) printf '%s' "${text//"$1"/"$to"}" ;; *) __answer tr "$@" "$text" ;; esac ;;
  esac
}
cut() {
  local separator=$'\t' which=1 line words
  while [ $# -gt 0 ]; do
    case $1 in -d) separator=$2; shift ;; -d*) separator=${1#-d} ;; -f) which=$2; shift ;; -f*) which=${1#-f} ;; esac
    shift
  done
  while IFS= read -r line || [ -n "$line" ]; do
    IFS=$separator read -r -a words <<< "$line"
    printf '%s\n' "${words[which - 1]}"
  done
}
awk() {
  local line words which separator=$' \t'
  [ "$1" != -F ] || { separator=$2; shift 2; }
  case ${1:-} in -F?) separator=${1#-F}; shift ;; esac
  which=${1#'{print $'}
  which=${which#'{ print $'}
  which=${which%'}'}
  case ${which% } in [0-9]) ;; *) __answer awk "$@"; return ;; esac
  while IFS= read -r line; do
    IFS=$separator read -r -a words <<< "$line"
    printf '%s\n' "${words[which - 1]}"
  done
}
expr() { local sum; set -f; sum=$*; printf '%s\n' "$((${sum//\\/}))"; }
for __name in nvidia-smi lscpu free df top printenv env which ls clear sync stty tput ; do
  eval "$__name() { :; }"
done
env() { while [[ ${1:-} == -* || ${1:-} == *=* ]]; do case $1 in *=*) local -x "$1" ;; esac; shift; done; [ $# -eq 0 ] || __run "$@"; }
nohup() { __run "$@"; }
stdbuf() { while [[ ${1:-} == -* ]]; do shift; done; __run "$@"; }
nice() { case ${1:-} in -n) shift 2 ;; -*) shift ;; esac; __run "$@"; }
numactl() { while [[ ${1:-} == -* ]]; do shift; done; __run "$@"; }
timeout() { while [[ ${1:-} == -* ]]; do shift; done; shift; __run "$@"; }
ulimit() { :; }
umask() { :; }
unset __name
readonly PATH
printf 'ready\x1e\n' >&7
set -r
