# ---- conda: finds conda or micromamba and activates an environment

# use_conda ENVIRONMENT [BASE]: BASE is the folder in which conda is installed, or the path of a micromamba program
use_conda() {
  local clusterrun_base clusterrun_program=
  if [ -n "${2:-}" ]; then
    clusterrun_step "environment.conda_base: neither etc/profile.d/conda.sh nor micromamba found in $2 on $HOSTNAME"
    set -- "$1" "$2" "$2" "$2/bin/micromamba"
  else
    clusterrun_step "environment.conda: no conda found on $HOSTNAME; set environment.conda_base"
    set -- "$1" "" "${MAMBA_EXE:-}" "$HOME"/{.local/bin,bin}/micromamba "$(type -P micromamba)"
  fi
  for clusterrun_base in ${2:+"$2"} "${CONDA_EXE:+${CONDA_EXE%/*/conda}}" "$HOME"/{miniforge3,mambaforge,miniconda3,anaconda3} \
    /opt/{conda,miniconda3,miniforge3} "$(conda info --base 2>/dev/null)"; do
    [ -n "$clusterrun_base" ] && [ -r "$clusterrun_base/etc/profile.d/conda.sh" ] && break
    clusterrun_base=
    [ -z "$2" ] || break
  done
  if [ -n "$clusterrun_base" ]; then
    # shellcheck disable=SC1091
    . "$clusterrun_base/etc/profile.d/conda.sh" || exit
    clusterrun_step "environment.conda: cannot activate $1"
    conda activate "$1" || exit
    return
  fi
  for clusterrun_program in "${@:3}"; do
    [ -n "$clusterrun_program" ] && [ -f "$clusterrun_program" ] && [ -x "$clusterrun_program" ] && break
    clusterrun_program=
  done
  [ -n "$clusterrun_program" ] || exit 1
  eval "$("$clusterrun_program" shell hook --shell bash)" || exit
  clusterrun_step "environment.conda: cannot activate $1"
  "${clusterrun_program##*/}" activate "$1" || exit
}
