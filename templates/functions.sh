# ---- clusterrun's functions, version 1 ---------------------------------------------------------------

say() { printf 'clusterrun: %s\n' "$*" >&2; }

# Leave for a reason that a person must mend; nothing is tried again.
fail() {
  say "$*"
  [ -z "${attempt:-}" ] || record "$run_dir/events/attempt-$attempt.end" \
    cause=failed-start reason="$*" next=end exit_code=1 ended="$(date +%s)"
  exit 1
}

secret() { [ -n "${!1:-}" ] || say "the secret $1 was not set where the job was submitted"; }

must_succeed() { [ "$1" -eq 0 ] || fail "exit code $1 from $2"; }

# record FILE KEY=VALUE...: whole, or not there
record() {
  local file=$1
  shift
  (umask 077 && printf '%s\n' "$@" > "$file.$$") && mv -f "$file.$$" "$file"
}

# value KEY FILE: of a record; nothing where there is none
value() { sed -n "s/^$1=//p" "$2" 2>/dev/null | head -n 1; }

absolute() {
  case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$work_dir" "$1" ;;
  esac
}

# No variable of the submitting shell arrives, and a broken login profile can leave HOME and PATH empty:
# give the job what every program expects.
prepare_shell() {
  local slurm_bin
  USER=${USER:-$(id -un)} LOGNAME=${LOGNAME:-$(id -un)} SHELL=${SHELL:-/bin/bash}
  HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)} LANG=${LANG:-C.UTF-8}
  slurm_bin=$(command -v scontrol)
  PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
  case $slurm_bin in
    /*) [ -x "/usr/bin/scontrol" ] || PATH=$PATH:${slurm_bin%/*} ;;
  esac
  export USER LOGNAME SHELL HOME LANG PATH
}

# Claim the next attempt of this run, or leave: it is finished, or another job trains it.
begin_attempt() {
  local last previous number
  slurm_log=$(readlink "/proc/$$/fd/2")
  slurm_log_start=$(stat -c %s "$slurm_log" 2>/dev/null || echo 0)
  (umask 077 && mkdir -p "$run_dir"/{events,logs,checkpoints,staging}) || fail "cannot make the run folder $run_dir"
  [ -e "$run_dir/stop" ] || (umask 077 && : > "$run_dir/stop")
  if grep -qs '^outcome=finished$' "$run_dir"/events/attempt-*.trainer ||
    grep -qs '^cause=finished$' "$run_dir"/events/attempt-*.end; then
    say "run $run_id is finished already"
    exit 0
  fi
  last=$(last_attempt)
  previous=$(value job_id "$run_dir/events/attempt-$last.begin")
  if [ -n "$previous" ] && [ "$previous" != "$SLURM_JOB_ID" ] &&
    [ "$(squeue --noheader --jobs="$previous" --format=%T 2>/dev/null)" = RUNNING ]; then
    say "job $previous trains run $run_id already"
    exit 0
  fi
  number=$((10#${last:-0}))
  while :; do
    number=$((number + 1))
    attempt=$(printf '%04d' "$number")
    # noclobber opens with O_EXCL: of two jobs that try, one gets the number
    (umask 077 && set -o noclobber && begin_record > "$run_dir/events/attempt-$attempt.begin") 2>/dev/null && break
    [ "$number" -lt 9999 ] || fail "cannot write into $run_dir/events"
  done
  say "attempt $attempt of run $run_id; its output: $run_dir/logs/attempt-$attempt.log"
  exec >> "$run_dir/logs/attempt-$attempt.log" 2>&1
  chmod 600 "$run_dir/logs/attempt-$attempt.log"
  if [ -n "$last" ] && ! allowed_after "$last"; then exit 1; fi
  if [ -s "$run_dir/stop" ]; then
    say "a stop was asked for: $(cat "$run_dir/stop")"
    record "$run_dir/events/attempt-$attempt.end" cause=stop next=end exit_code=0 ended="$(date +%s)"
    exit 0
  fi
}

begin_record() {
  printf '%s\n' "job_id=$SLURM_JOB_ID" "restart=${SLURM_RESTART_COUNT:-0}" "nodes=$SLURM_JOB_NODELIST" \
    "cluster=${SLURM_CLUSTER_NAME:-}" "began=$(date +%s)"
}

last_attempt() {
  local file last=
  for file in "$run_dir"/events/attempt-*.begin; do
    [ -e "$file" ] && last=${file##*/attempt-} && last=${last%.begin}
  done
  printf '%s' "$last"
}

# An attempt that ended without a word was taken by a node failure or killed outright.
allowed_after() {
  local cause
  cause=$(value cause "$run_dir/events/attempt-$1.end")
  case ${cause:-node-failure} in
    preemption | time-limit | node-failure)
      case " $requeue_on " in
        *" ${cause:-node-failure} "*) ;;
        *)
          say "the last attempt ended by ${cause:-node-failure}, which requeue.on leaves out"
          record "$run_dir/events/attempt-$attempt.end" cause="${cause:-node-failure}" next=end exit_code=1 ended="$(date +%s)"
          return 1
          ;;
      esac
      ;;
  esac
}

# Slurm runs a job in /tmp, without a word, when its folder is not there.
enter_folder() { cd "$work_dir" || fail "the working folder $work_dir cannot be entered on $(hostname)"; }

find_modules() {
  local init
  type module >/dev/null 2>&1 && return
  for init in "${LMOD_PKG:-/usr/share/lmod/lmod}/init/bash" "${MODULESHOME:-/usr/share/modules}/init/bash" \
    /etc/profile.d/{lmod,modules,z00_lmod,z00-lmod,00-modulepath}.sh /usr/share/Modules/init/bash /opt/apps/lmod/lmod/init/bash; do
    # shellcheck disable=SC1090
    [ -r "$init" ] && . "$init" && type module >/dev/null 2>&1 && return
  done
  fail "environment.modules: no module command is found on $(hostname)"
}

use_venv() {
  # shellcheck disable=SC1091
  . "$1/bin/activate" || fail "environment.venv: $1/bin/activate cannot be read on $(hostname)"
}

use_conda() {
  local base
  for base in "${CONDA_EXE:+${CONDA_EXE%/bin/conda}}" "$HOME"/{miniforge3,mambaforge,miniconda3,anaconda3} /opt/{conda,miniconda3,miniforge3}; do
    [ -n "$base" ] && [ -r "$base/etc/profile.d/conda.sh" ] && break
    base=
  done
  [ -n "$base" ] || base=$(conda info --base 2>/dev/null)
  # shellcheck disable=SC1091
  . "$base/etc/profile.d/conda.sh" || fail "environment.conda: no conda is found on $(hostname)"
  conda activate "$1" || fail "environment.conda: $1 cannot be activated"
}

# Where the ranks meet: the first node's numeric address, and a port of its own.
choose_rendezvous() {
  main_process_ip=$(head_address) || fail "no address of $(hostname) but loopback is found, and the other nodes must reach it"
  main_process_port=$(free_port) || fail "no free port from 10000 to 29999 is found on $(hostname)"
  [ -n "$num_processes" ] || count_gpus=1 num_processes=$(($(gpus_of_a_node) * SLURM_JOB_NUM_NODES))
  [ "$num_processes" -gt 0 ] || fail "GPUs were asked for, but Slurm gave none to $(hostname)"
  export main_process_ip main_process_port num_processes count_gpus=${count_gpus:-} MASTER_ADDR=$main_process_ip MASTER_PORT=$main_process_port
}

# An address of this machine that its own name, or Slurm, stands for; else its first one.
head_address() {
  local own name address
  own=" $(hostname -I 2>/dev/null || ip -o addr show scope global | awk '{sub("/.*", "", $4); print $4}' | tr '\n' ' ') "
  for name in $(scontrol show node "${SLURMD_NODENAME:-}" 2>/dev/null | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p') "$(hostname)"; do
    for address in $(getent ahostsv4 "$name" | awk '{print $1}'; getent ahosts "$name" | awk '{print $1}'); do
      case $own in *" $address "*) not_loopback "$address" && return ;; esac
    done
  done
  for address in $own; do not_loopback "$address" && return; done
  [ "$SLURM_JOB_NUM_NODES" -eq 1 ] && printf 127.0.0.1
}

not_loopback() {
  case $1 in 127.* | ::1 | fe80:*) return 1 ;; esac
  printf '%s' "$1"
}

# Below the ephemeral range (32768 by default), from job id and attempt, and not listened to.
free_port() {
  local try port
  for try in {0..199}; do
    port=$((10000 + (${SLURM_JOB_ID//[!0-9]/} * 31 + 10#$attempt * 7 + try * 101) % 20000))
    listening "$main_process_ip" "$port" || listening 127.0.0.1 "$port" || { printf '%s' "$port" && return; }
  done
  return 1
}

listening() { (exec 3<> "/dev/tcp/$1/$2") 2>/dev/null; }

# What the job asked for on each node; an exclusive job's first node says how many it has, not how many a task gets.
gpus_of_a_node() {
  if [ -n "${SLURM_GPUS_PER_NODE:-}" ]; then printf '%s' "${SLURM_GPUS_PER_NODE##*:}"; else gpus_here; fi
}

# GPUs that Slurm gave on this node, in whichever way they were asked for.
gpus_here() {
  local list=${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-${CUDA_VISIBLE_DEVICES:-${ROCR_VISIBLE_DEVICES:-}}}}
  if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
    printf '%s' "${SLURM_GPUS_ON_NODE##*:}"
  else
    printf '%s' "$list" | tr ',' '\n' | grep -c .
  fi
}

# Gloo takes the address of the host's own name, which is loopback on Debian: name the interface instead.
network_interface() {
  local found
  found=$(ip -o addr show to "$main_process_ip" 2>/dev/null | awk '{print $2; exit}')
  [ -n "$found" ] || found=$(ip -o route get "$main_process_ip" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  printf '%s' "$found"
}

# One task a node: a small shell that hears the signals, and the launcher below it.
run_on_nodes() {
  local step program bytes
  heard=
  batch_heard=
  trap note_final_kill TERM
  trap 'heard=1' USR1
  export run_dir run_id attempt CLUSTERRUN_PROTOCOL=1 CLUSTERRUN_RUN_ID=$run_id CLUSTERRUN_RUN_DIR=$run_dir \
    CLUSTERRUN_ATTEMPT=$attempt CLUSTERRUN_WORLD_SIZE=$num_processes
  program="$(declare -f say record gpus_here network_interface wait_for on_node ask_to_stop write_configs launch)
on_node"
  bytes=$(printf '%s' "$program" | wc -c)
  [ "$bytes" -lt 131071 ] || fail "the command of a node has $bytes bytes; Linux takes 131071 in one argument"
  # The step has the whole allocation; srun would bind its one task to one core (srun(1), --cpu-bind).
  srun --export=ALL --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    --cpu-bind=none --mpi=none --kill-on-bad-exit=1 --unbuffered --input=none bash -c "$program" &
  step=$!
  wait_for "$step"
  step_exit=$waited
}

# The final kill leaves this shell KillWait seconds, which a save on the nodes may outlast: write down at once what
# is not undone. Where slurmstepd gives no cause, it is scancel; `end_attempt` says the rest if there is time.
note_final_kill() {
  heard=1
  [ -z "$batch_heard" ] || return 0
  batch_heard=TERM
  sleep 0.3
  [ -n "$(slurm_says)" ] || record "$run_dir/events/attempt-$attempt.end" cause=cancel next=end exit_code=143 \
    step="$(value step "$run_dir/progress")" ended="$(date +%s)"
}

# slurmstepd's own word for why it ended this attempt; nothing at scancel
slurm_says() {
  { tail -c "+$((slurm_log_start + 1))" "$slurm_log"; cat "$run_dir/logs/attempt-$attempt.log"; } 2>/dev/null |
    grep -a '^slurmstepd.*error: \*\*\* .*CANCELLED AT .* DUE TO' | sed 's/.*DUE TO //; s/ \*\*\*.*//' | head -n 1
}

# wait_for PID: its exit code in `waited`; a trap interrupts `wait`, so ask until no signal came in between.
wait_for() {
  local code
  waited=127
  while :; do
    heard=
    wait "$1"
    code=$?
    [ "$code" -eq 127 ] || waited=$code
    [ -n "$heard" ] || return 0
  done
}

# The task of a node. It is slurmstepd's own child, the only one that hears Slurm under cgroup tracking.
on_node() {
  local launcher last_signal=
  node_dir=$(mktemp -d "${TMPDIR:-/tmp}/clusterrun.XXXXXXXX") || exit 1
  export node_dir CLUSTERRUN_STOP_FILE=$node_dir/stop
  trap 'ask_to_stop TERM' TERM
  trap 'ask_to_stop USR1' USR1
  write_configs
  if [ "$SLURM_JOB_NUM_NODES" -gt 1 ] && [ -z "${GLOO_SOCKET_IFNAME:-}" ]; then
    GLOO_SOCKET_IFNAME=$(network_interface)
    [ -z "$GLOO_SOCKET_IFNAME" ] || export GLOO_SOCKET_IFNAME
  fi
  if [ -n "$count_gpus" ] && [ $(($(gpus_here) * SLURM_JOB_NUM_NODES)) -ne "$num_processes" ]; then
    say "$(hostname) has $(gpus_here) GPUs, and $num_processes processes over $SLURM_JOB_NUM_NODES nodes do not fit: ask for gpus-per-node"
    exit 1
  fi
  # torchelastic must not end the workers on a signal; they look for the stop file, save, and leave by themselves.
  (
    trap '' TERM USR1 USR2
    export PET_SIGNALS_TO_HANDLE=SIGINT TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-5}
    launch
  ) &
  launcher=$!
  wait_for "$launcher"
  record "$run_dir/events/attempt-$attempt.node-$SLURM_NODEID" \
    node="$(hostname)" exit_code="$waited" signal="$last_signal" ended="$(date +%s)"
  rm -rf "$node_dir"
  exit "$waited"
}

ask_to_stop() {
  heard=1
  last_signal=$1
  : > "$CLUSTERRUN_STOP_FILE"
  say "$(hostname): $1: the trainers are asked to save and leave"
}

# How it ended decides what comes next.
end_attempt() {
  local cause next trainer=$run_dir/events/attempt-$attempt.trainer
  trap '' TERM USR1
  cause=$(why_ended "$trainer")
  next=$(decide "$cause" "$(crashes_so_far "$cause")" "$(newest_checkpoint)" "$requeue_on" "$most_crashes")
  record "$run_dir/ledger" attempt="$attempt" crashes="$(crashes_so_far "$cause")" checkpoint="$(newest_checkpoint)"
  record "$run_dir/events/attempt-$attempt.end" cause="$cause" next="$next" exit_code="$step_exit" \
    step="$(value step "$run_dir/progress")" ended="$(date +%s)"
  say "attempt $attempt ended: $cause; next: $next"
  case $next:$cause in
    continue:*) ask_for_requeue "$cause" ;;
    by-slurm:*) linger ;;
    end:finished | end:stop) exit 0 ;;
    *) exit $((step_exit ? step_exit : 1)) ;;
  esac
}

why_ended() {
  local outcome signal
  outcome=$(value outcome "$1")
  signal=$(cat "$run_dir/events/attempt-$attempt".node-* 2>/dev/null | sed -n 's/^signal=\(..*\)/\1/p' | head -n 1)
  if [ "$outcome" = finished ] || { [ -z "$outcome" ] && [ "$step_exit" -eq 0 ] && [ -z "$signal" ]; }; then
    echo finished
  elif [ -s "$run_dir/stop" ] && [ "$outcome" = stopped ]; then
    echo stop
  else
    case $(slurm_says) in
      PREEMPTION) echo preemption ;;
      "TIME LIMIT") echo time-limit ;;
      "JOB REQUEUE") echo requeue ;;
      NODE*) echo node-failure ;;
      *) by_signal "$outcome" "$signal" ;;
    esac
  fi
}

# At scancel the batch shell hears TERM too; at a preemption it hears nothing until its grace ends.
by_signal() {
  if [ "$batch_heard" = TERM ]; then
    echo cancel
  elif [ "$1" = stopped ] || [ "$step_exit" -eq 0 ]; then
    if [ "$2" = USR1 ]; then echo time-limit; else echo preemption; fi
  else
    echo crash
  fi
}

# By attempt, then by step: an attempt that was fenced may have gone further than the one that counts.
newest_checkpoint() {
  local file name newest='' best=''
  for file in "$run_dir"/checkpoints/step-*-*/manifest.json; do
    name=${file%/manifest.json} name=${name##*/}
    [ -e "$file" ] && [[ "${name##*-}${name%-*}" > "$best" ]] && newest=$name best=${name##*-}${name%-*}
  done
  printf '%s' "$newest"
}

# Crashes in a row: a new checkpoint between them begins the count again.
crashes_so_far() {
  local before
  before=$(value crashes "$run_dir/ledger")
  [ "$(value attempt "$run_dir/ledger")" != "$attempt" ] || { printf '%s' "${before:-0}" && return; }
  [ "$(newest_checkpoint)" = "$(value checkpoint "$run_dir/ledger")" ] || before=0
  [ "$1" = crash ] && printf '%s' "$((${before:-0} + 1))" || printf '%s' "${before:-0}"
}

# decide CAUSE CRASHES CHECKPOINT REQUEUE_ON MOST_CRASHES: continue, end, or by-slurm where Slurm requeues by itself
decide() {
  local cause=$1 crashes=$2 checkpoint=$3 causes=" $4 " most=$5
  case $cause in
    finished | stop | cancel | failed-start) echo end ;;
    requeue) echo by-slurm ;;
    crash)
      # before the first checkpoint there is nothing to return to: the script itself is wrong
      case $causes in
        *" crash "*) if [ -n "$checkpoint" ] && [ "$crashes" -le "$most" ]; then echo continue; else echo end; fi ;;
        *) echo end ;;
      esac
      ;;
    *)
      case $causes in
        *" $cause "*) if [ "${batch_heard:-}" = TERM ] && [ "$cause" != time-limit ]; then echo by-slurm; else echo continue; fi ;;
        *) echo end ;;
      esac
      ;;
  esac
}

# Slurm kills this shell when it has taken the job back.
ask_for_requeue() {
  local answer try
  for try in 1 2 3 4 5; do
    answer=$(scontrol requeue "$SLURM_JOB_ID" 2>&1) && linger
    case $answer in *ending* | *being\ requeued*) linger ;; esac
    say "scontrol requeue (try $try): $answer"
    sleep 2
  done
  record "$run_dir/events/attempt-$attempt.end" cause="$1" next=end reason="requeue refused: $answer" \
    exit_code="$step_exit" step="$(value step "$run_dir/progress")" ended="$(date +%s)"
  exit 1
}

linger() {
  sleep 300 &
  wait $!
  exit $((step_exit ? step_exit : 1))
}
