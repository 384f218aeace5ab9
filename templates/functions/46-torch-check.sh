# ---- torch-check: checks that torch finds the GPUs that Slurm allocated, while the launcher starts

# Runs on each node while the launcher imports torch, so it delays nothing. If torch finds no GPU,
# accelerate starts each rank as an independent training on the CPU, without an error. So record why, and end the launcher;
# not at once, so that the other nodes can record what they find.
check_torch() {
  local report reason expected environment='' host now never
  trap - TERM USR1
  [ -z "${skip_node_check:-}" ] && training_needs_gpus || return 0
  report=$(ask_torch | sed -n 's/^clusterrun-torch //p')
  expected=1
  [ -z "$one_rank_per_gpu" ] || expected=$((num_processes / num_machines))
  reason=$(find_torch_problem "$expected" "$report")
  [ -n "$reason" ] || return 0
  case $reason in *" is built for CPUs, "* | *" CUDA_VISIBLE_DEVICES="*) environment=yes ;; esac
  host=$(hostname)
  now=$(date +%s)
  log_message "$host: node check failed: $reason"
  write_record "$run_dir/events/attempt-$attempt.node-$SLURM_NODEID" node="$host" name="${SLURMD_NODENAME:-}" \
    check="$reason" environment="$environment" exit_code=1 stop_request= ended="$now"
  : > "$node_dir/unfit"
  exec {never}<> <(:)
  read -r -t 3 -u "$never"
  node_task_is_alive || return 0
  kill_training_processes
}

# Whether accelerate starts the training, and is to use GPUs. DS_ACCELERATOR is DeepSpeed's.
training_needs_gpus() {
  case $(declare -f launch) in *"accelerate launch"*) ;; *) return 1 ;; esac
  case ${ACCELERATE_USE_CPU:-} in [1yYtT]* | [oO][nN]) return 1 ;; esac
  [ "${DS_ACCELERATOR:-}" != cpu ]
}

# find_torch_problem EXPECTED REPORT: print why torch cannot train on EXPECTED GPUs, or nothing. REPORT has the number that
# it finds, its version, whether it is built for GPUs, and its warning.
find_torch_problem() {
  local count version built_for_gpus warning visible=${CUDA_VISIBLE_DEVICES-unset} list=()
  read -r count version built_for_gpus warning <<< "$2"
  case $count in '' | *[!0-9]*) return 0 ;; esac
  [ "$count" -lt "$1" ] || return 0
  # CUDA shows a process only one MIG device
  case $count:$visible in [1-9]*:*MIG-*) return 0 ;; esac
  if [ "$built_for_gpus" != True ]; then
    echo "torch $version is built for CPUs, but Slurm allocated GPUs ($1 for this node's ranks)"
    return
  fi
  IFS=, read -r -a list <<< "$visible"
  if [ "$visible" != unset ] && [ "${#list[@]}" -lt "$1" ]; then
    echo "torch $version finds $count of $1 GPUs, because the environment has CUDA_VISIBLE_DEVICES='$visible'"
  else
    echo "torch $version finds $count of the $1 GPUs that Slurm allocated${warning:+: $warning}"
  fi
}

# Print what torch finds, in the launcher's Python and with the user's variables. Nothing if torch cannot be imported, which
# the launcher reports, or if there is support for other devices than torch's own.
ask_torch() {
  # shellcheck disable=SC2016  # another shell evaluates it
  local program='first= second=
launcher=$(type -P accelerate) && { IFS= read -r first; IFS= read -r second; } < "$launcher" 2>/dev/null
case $first in
  "#!"*python*) read -r -a python <<< "${first#"#!"}" ;;
  "#!/bin/sh"*) second=${second#*exec? } python=("${second%% *}") ;;  # a path that is too long for "#!"
esac
exec "${python[0]:-false}" "${python[@]:1}" -c "$clusterrun_question"' question='
import importlib.util, warnings
others = "torch-npu torch-mlu torch-musa torch-sdaa torch-xla torch-neuronx habana-frameworks"
if any(map(importlib.util.find_spec, others.replace("-", chr(95)).split())):
    raise SystemExit
import torch
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    kinds = [torch.cuda, *(getattr(torch, name) for name in ("xpu", "accelerator") if hasattr(torch, name))]
    count = max(kind.device_count() if kind.is_available() else 0 for kind in kinds)
text = " ".join(str(caught[-1].message).split())[:200] if caught else ""
built = torch.backends.cuda.is_built() or bool(getattr(torch.version, "xpu", None))
print("clusterrun-torch", count, torch.__version__, built, text)
'
  (run_for_user "$program" "clusterrun_question=$question" "CLUSTERRUN_STOP_FILE=$CLUSTERRUN_STOP_FILE") 2>/dev/null < /dev/null
}

# Whether the check found that this job's environment, not a node, is the reason why training cannot use its GPUs.
environment_is_unfit() { grep -qs '^environment=yes$' "$run_dir/events/attempt-$attempt".node-*; }
