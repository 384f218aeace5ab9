# ---- step: srun starts one task on each node, and the batch shell waits for it

# One task a node: a small shell that hears the signals, and the launcher below it.
# sets: deaf_to_term, head_clock, preparing, step_exit
run_on_nodes() {
  local step program functions bytes absent guard=
  export run_dir run_id attempt unchecked job_ends signal_lead stop_signal checkpoint CLUSTERRUN_PROTOCOL=1 \
    CLUSTERRUN_RUN_ID=$run_id CLUSTERRUN_RUN_DIR=$run_dir CLUSTERRUN_ATTEMPT=$attempt \
    CLUSTERRUN_WORLD_SIZE=$num_processes CLUSTERRUN_CHECKPOINT=${checkpoint:-}
  deaf_to_term=$(signals_reach_all && echo yes)
  [ -z "${stop_signal:-}" ] || deaf_to_term=yes
  head_clock=$(date +%s)
  export deaf_to_term head_clock
  functions=$(declare -f say record value replaced gpus_here network_interface find_job_end wait_for on_node fits run_default_check \
    run_node_check node_check gpu_count_fits report_no_connection head_node_is_reached request_stop signal_trainers find_trainers \
    descendants children end_trainers another_crashed watch find_save_lead follow_orders dump_stacks is_stopped handles_signal_57 \
    write_configs launch)
  program=$functions$'\n'on_node
  bytes=$(printf '%s' "$program" | wc -c)
  [ "$bytes" -lt 131071 ] || fail "the command of a node has $bytes bytes; Linux takes 131071 in one argument"
  (umask 077 && : > "$run_dir/events/attempt-$attempt.hang")
  kill -KILL "$preparation_watcher" 2>/dev/null
  trap record_end_at_term TERM
  preparing=
  # The step has the whole allocation; srun would bind its one task to one core (srun(1), --cpu-bind).
  srun --export=ALL --nodes="$num_machines" --ntasks="$num_machines" --ntasks-per-node=1 \
    --cpu-bind=none --mpi=none --kill-on-bad-exit=1 --unbuffered --input=none bash -c "$program" &
  step=$!
  report_absent_nodes &
  absent=$!
  disown "$absent"
  [ "$hang" = off ] || { watch_for_hang & guard=$!; disown "$guard"; }
  wait_for "$step"
  step_exit=$waited
  # shellcheck disable=SC2086
  kill -KILL "$absent" $guard 2>/dev/null  # they may have ended by themselves
}

# Whether Slurm signals all processes of a step: linuxproc walks the whole tree, while with cgroups only the task hears
# it, unless the site wants it otherwise (cgroup.conf(5)). Where nobody answers, it may.
signals_reach_all() {
  local config
  config=$(scontrol show config 2>/dev/null)
  grep -qi '^ProctrackType *= *proctrack/cgroup' <<< "$config" || return 0
  grep -qi '^SignalChildrenProcesses *= *yes' <<< "$config"
}

# TERM to the batch shell is Slurm's final kill: KillWait seconds are left, and a save on the nodes may outlast them.
# So write the end down at once, and ask at once for what Slurm does not do by itself. `end_attempt` says it better if
# there is time.
# sets: asked_at_once, signal_seen, term_seen
record_end_at_term() {
  local cause next
  signal_seen=1
  [ -z "$term_seen" ] || return 0
  term_seen=TERM
  trap '' TERM  # it comes again, and would end the subshells here, which say nothing then
  ! replaced || return 0  # fenced: the job is another attempt's now
  cause=$(find_kill_cause)
  next=$(decide "$cause" 0 0 "$requeue_on" 0)
  step_exit=143 end_record "$cause" "$next" ''
  [ "$next" = end ] || ! continue_run_at_term "$cause" "$next" || asked_at_once=1
  trap 'signal_seen=1' TERM
}
