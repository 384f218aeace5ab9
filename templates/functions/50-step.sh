# ---- step: starts one task on each node with srun, and waits for them

# Run one task per node, or with launcher: srun one per process: a small shell that receives the signals, and the launcher
# or process as its child.
# sets: head_clock, ignore_term, in_preparation, num_tasks, step_exit, tasks_per_node
run_on_nodes() {
  local step program functions arguments='' bytes srun config cpu_bind=--cpu-bind=none absence_watcher hang_watcher=
  CLUSTERRUN_PROTOCOL=1 CLUSTERRUN_RUN_ID=$run_id CLUSTERRUN_RUN_DIR=$run_dir CLUSTERRUN_ATTEMPT=$attempt
  CLUSTERRUN_WORLD_SIZE=$num_processes CLUSTERRUN_CHECKPOINT=${checkpoint:-}
  config=$(scontrol show config 2>/dev/null)
  ignore_term=$(slurm_signals_all_processes "$config" && echo yes)
  [ -z "${stop_signal:-}" ] || ignore_term=yes
  head_clock=$(date +%s)
  tasks_per_node=1
  [ "${launch_kind:-}" != srun ] || tasks_per_node=$((num_processes / num_machines))
  num_tasks=$((num_machines * tasks_per_node))
  functions=$(declare -f reset_shell run_for_user launch_for_user log_message write_record read_value attempt_is_replaced count_local_gpus count_gpu_devices find_network_interface \
    find_job_end wait_for_exit run_node_task node_is_fit run_default_check \
    run_node_check node_check check_torch training_needs_gpus find_torch_problem ask_torch gpu_count_matches report_no_connection is_connected_to_head_node request_stop \
    signal_training_processes find_training_processes find_ranks find_programs handles_signal catches_signal signal_mask_has \
    note_handled_signal find_stop_handling list_descendants list_children kill_training_processes \
    kill_leftover_processes make_temporary_folder node_task_is_alive \
    another_node_crashed watch_for_stop compute_stop_lead follow_orders dump_stacks process_is_stopped \
    write_configs launch check_setup_line)
  if declare -F select_member >/dev/null; then
    select_member  # again: now `checkpoint` is known
    # shellcheck disable=SC2154  # select_member sets it
    arguments=$(declare -p member_args)
  fi
  printf -v program '%s\n%s\nreset_shell\nPATH=%q\nrun_node_task' "$functions" "$arguments" "$PATH"
  bytes=$(printf '%s' "$program" | wc -c)
  [ "$bytes" -lt 131071 ] || fail "the node command has $bytes bytes; Linux allows at most 131071 in one argument"
  (umask 077 && : > "$run_dir/events/attempt-$attempt.hang")
  kill -KILL "$preparation_watcher" 2>/dev/null
  trap record_end_at_term TERM
  in_preparation=
  srun=$(type -P srun) && ! declare -F srun >/dev/null || srun=srun  # in a local run it is a function
  # The step has the whole allocation; srun would bind its one task to one core (srun(1), --cpu-bind).
  slurm_may_bind_cpus "$config" || cpu_bind=
  start_in_user_shell run_dir run_id attempt skip_node_check job_end_time signal_lead stop_signal reads_stop_file checkpoint ignore_term launch_kind \
    head_clock main_process_ip main_process_port num_machines num_processes one_rank_per_gpu gpus_without_gres MASTER_ADDR MASTER_PORT \
    CLUSTERRUN_PROTOCOL CLUSTERRUN_RUN_ID CLUSTERRUN_RUN_DIR CLUSTERRUN_ATTEMPT CLUSTERRUN_WORLD_SIZE CLUSTERRUN_CHECKPOINT \
    -- "$srun" --export=ALL --nodes="$num_machines" --ntasks="$num_tasks" --ntasks-per-node="$tasks_per_node" --distribution=block \
    ${cpu_bind:+"$cpu_bind"} --mpi=none --kill-on-bad-exit=1 --unbuffered --input=none "${srun_options[@]}" /bin/bash -p -c "$program"
  step=$user_shell
  report_absent_nodes &
  absence_watcher=$!
  disown "$absence_watcher"
  [ "$hang" = off ] || { watch_for_hang & hang_watcher=$!; disown "$hang_watcher"; }
  wait_for_exit "$step"
  step_exit=$child_exit_code
  # shellcheck disable=SC2086
  kill -KILL "$absence_watcher" $hang_watcher 2>/dev/null  # they may have exited already
}

# slurm_signals_all_processes CONFIG: whether Slurm signals all processes of a step. linuxproc walks the whole tree, while
# with cgroups only the task receives the signal, unless the site sets SignalChildrenProcesses (cgroup.conf(5)). Without
# an answer of `scontrol show config`: yes.
slurm_signals_all_processes() {
  grep -qi '^ProctrackType *= *proctrack/cgroup' <<< "$1" || return 0
  grep -qi '^SignalChildrenProcesses *= *yes' <<< "$1"
}

# slurm_may_bind_cpus CONFIG: whether srun may bind tasks to CPUs, which only task/affinity does (slurm.conf(5), TaskPlugin).
# Without it, srun logs for every --cpu-bind that the cluster lacks support. Without an answer: yes.
slurm_may_bind_cpus() {
  ! grep -qi '^TaskPlugin *=' <<< "$1" || grep -qi '^TaskPlugin *=.*affinity' <<< "$1"
}

# TERM to the batch shell is Slurm's final kill: KillWait seconds remain, and a save on the nodes may take longer. So
# record the end at once, and request at once what Slurm does not do by itself. `end_attempt` corrects the record if
# there is time. A training that has just finished has recorded that.
# sets: continuation_requested, signal_seen, step_exit, term_seen
record_end_at_term() {
  local cause next
  signal_seen=1
  [ -z "$term_seen" ] || return 0
  term_seen=TERM
  trap '' TERM  # Slurm repeats it, and it would kill the subshells here before they print anything
  ! attempt_is_replaced || return 0  # fenced: the job belongs to a later attempt now
  step_exit=143
  cause=$(find_end_cause)
  next=$(decide_next "$cause" 0 0 "$requeue_on" 0)
  record_end "$cause" "$next" ''
  [ "$next" = end ] || ! continue_run_at_term "$cause" "$next" || continuation_requested=1
  trap 'signal_seen=1' TERM
}
