#!/bin/bash
# In the place of accelerate, torchrun, python and apptainer: writes down how it was started, and by which job.
out=$(mktemp -d "RECORDS/.new.XXXXXXXX") || exit 1
printf '%s\0' "${0##*/}" "$@" > "$out/argv"
env -0 > "$out/environment"
pwd > "$out/folder"
scontrol --details show job "$SLURM_JOB_ID" > "$out/job"
while [ $# -gt 0 ]; do
  [ "$1" != --config_file ] || cp "$2" "$out/config"
  shift
done
mv "$out" "RECORDS/$SLURM_JOB_ID.$SLURM_NODEID.$SLURM_PROCID"
