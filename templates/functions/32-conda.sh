# ---- conda: finds conda and activates an environment

use_conda() {
  local base
  for base in "${CONDA_EXE:+${CONDA_EXE%/bin/conda}}" "$HOME"/{miniforge3,mambaforge,miniconda3,anaconda3} /opt/{conda,miniconda3,miniforge3}; do
    [ -n "$base" ] && [ -r "$base/etc/profile.d/conda.sh" ] && break
    base=
  done
  [ -n "$base" ] || base=$(conda info --base 2>/dev/null)
  # shellcheck disable=SC1091
  clusterrun_step "environment.conda: no conda found on $HOSTNAME"
  . "$base/etc/profile.d/conda.sh" || exit
  clusterrun_step "environment.conda: cannot activate $1"
  conda activate "$1" || exit
}
