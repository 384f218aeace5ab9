# ---- environment: what programs on the first node expect, and the environment of the job spec

# The job gets no variable of the submitting shell, and a broken login profile can leave HOME and PATH empty: set what
# every program expects.
prepare_shell() {
  local slurm_bin
  reset_shell
  USER=${USER:-$(id -un)} LOGNAME=${LOGNAME:-$(id -un)} SHELL=${SHELL:-/bin/bash}
  HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)} LANG=${LANG:-C.UTF-8}
  slurm_bin=$(command -v scontrol)
  PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
  case $slurm_bin in
    /*) [ -x "/usr/bin/scontrol" ] || PATH=$PATH:${slurm_bin%/*} ;;
  esac
  export USER LOGNAME SHELL HOME LANG PATH
  reset_slurm_defaults
}

# Filters and formats that people set for themselves (sbatch passes SLURM_ variables to the job even with --export=NIL)
# must not change the output of Slurm's commands here. On a node its own cluster is the default.
reset_slurm_defaults() {
  unset "${!SQUEUE_@}" "${!SACCT_@}" "${!SINFO_@}" "${!SCONTROL_@}" "${!SCANCEL_@}" \
    SLURM_CLUSTERS SLURM_TIME_FORMAT SLURM_BITSTR_LEN SLURM_JSON SLURM_YAML POSIXLY_CORRECT
}

# If the working folder does not exist, Slurm silently runs the job in /tmp.
enter_work_dir() { cd "$work_dir" || fail "cannot enter the working folder $work_dir on $(hostname)"; }

# use_venv FOLDER [KEY]: KEY of the environment section names it in messages
use_venv() {
  clusterrun_step "environment.${2:-venv}: cannot source $1/bin/activate on $HOSTNAME"
  # shellcheck disable=SC1091
  . "$1/bin/activate" || exit
}

warn_of_missing_secret() { [ -n "${!1:-}" ] || log_message "secret $1 was not set when the job was submitted"; }

# Let experiment trackers that read their run from the environment continue it in the next attempt. MLflow's server
# chooses the id of a run, so the training script records it in the run folder.
continue_trackers() {
  set_default WANDB_RUN_ID "${run_id//[^A-Za-z0-9._-]/-}"  # wandb allows few other characters
  set_default WANDB_RUN_GROUP "$sweep_id"
  set_default WANDB_NAME "$member_name"
  set_default WANDB_RESUME "${WANDB_RUN_ID:+allow}"
  set_default TENSORBOARD_LOGGING_DIR "$run_dir/tensorboard"  # for transformers' Trainer, whose default name has a time in it
  set_default MLFLOW_RUN_ID "$(read_value mlflow "$run_dir/trackers")"
}

# set_default NAME VALUE: a value of the user's has precedence; if it is empty, the variable is unset.
set_default() {
  if [ -z "${!1+set}" ]; then
    [ -z "$2" ] || export "$1=$2"
  elif [ -z "${!1}" ]; then
    unset "$1"
  fi
}
