# ---- environment: what programs on the first node expect, and the spec's environment

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
  use_slurms_defaults
}

# What people set for their own eyes (filters, formats; sbatch hands SLURM_ variables to the job even with --export=NIL)
# must not change what Slurm's commands answer here. On a node its own cluster is the default.
use_slurms_defaults() {
  unset "${!SQUEUE_@}" "${!SACCT_@}" "${!SINFO_@}" "${!SCONTROL_@}" "${!SCANCEL_@}" \
    SLURM_CLUSTERS SLURM_TIME_FORMAT SLURM_BITSTR_LEN SLURM_JSON SLURM_YAML POSIXLY_CORRECT
}

# Slurm runs a job in /tmp, without a word, when its folder is not there.
enter_work_dir() { cd "$work_dir" || fail "the working folder $work_dir cannot be entered on $(hostname)"; }

use_venv() {
  # shellcheck disable=SC1091
  . "$1/bin/activate" || fail "environment.venv: $1/bin/activate cannot be read on $(hostname)"
}

# sets: secrets
secret() {
  secrets=${secrets:+$secrets,}$1
  [ -n "${!1:-}" ] || say "the secret $1 was not set where the job was submitted"
}

must_succeed() { [ "$1" -eq 0 ] || fail "exit code $1 from $2"; }

# Experiment trackers that take their run from the environment go on with it in the next attempt. A record that a script
# has left in the run folder says which MLflow run it is: MLflow's server makes that id.
continue_trackers() {
  offer WANDB_RUN_ID "${run_id//[^A-Za-z0-9._-]/-}"  # wandb takes few other signs
  offer WANDB_RESUME "${WANDB_RUN_ID:+allow}"
  offer TENSORBOARD_LOGGING_DIR "$run_dir/tensorboard"  # transformers' Trainer; its own choice has a time in its name
  offer MLFLOW_RUN_ID "$(value mlflow "$run_dir/trackers")"
}

# offer NAME VALUE: what the user has set stays; a user's empty value means that it shall not be set at all.
offer() {
  if [ -z "${!1+set}" ]; then
    [ -z "$2" ] || export "$1=$2"
  elif [ -z "${!1}" ]; then
    unset "$1"
  fi
}
