#!/bin/bash
# A command with checkpoints of its own: its nodes make each step together, and wait for each other for ever.
count=0
[ -z "$CLUSTERRUN_CHECKPOINT" ] || count=$(cat "$CLUSTERRUN_CHECKPOINT")
steps=$CLUSTERRUN_RUN_DIR/output
mkdir -p "$steps"
while [ "$count" -lt 30 ]; do
  count=$((count + 1))
  touch "$steps/$CLUSTERRUN_ATTEMPT-$count-$SLURM_NODEID"
  for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do
    until [ -e "$steps/$CLUSTERRUN_ATTEMPT-$count-$node" ]; do sleep 0.2; done
  done
  [ "$SLURM_NODEID" -ne 0 ] || echo "$count" > "$steps/state"
  [ "$CLUSTERRUN_ATTEMPT" -gt 1 ] || sleep 0.5
done
