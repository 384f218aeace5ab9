# ---- modules: finds the site's module command

# Find the module command. The site's profile scripts come first: they also set MODULEPATH, which the init files of Lmod
# and of Tcl modules do not, and from Slurm 24.11 on, sbatch --export=NIL starts no login shell that has read them.
# sets: clusterrun_note
find_modules() {
  local clusterrun_init
  clusterrun_note=
  clusterrun_step "environment.modules: no module command found on $HOSTNAME"
  if ! type module >/dev/null 2>&1 || [ -z "${MODULEPATH:-}" ]; then
    for clusterrun_init in /etc/profile.d/{00-modulepath,modulepath,lmod,modules,z00_lmod,z00-lmod}.sh \
      "${LMOD_PKG:-/usr/share/lmod/lmod}/init/bash" "${MODULESHOME:-/usr/share/modules}/init/bash" \
      /usr/share/Modules/init/bash /opt/apps/lmod/lmod/init/bash; do
      ! type module >/dev/null 2>&1 || [ -z "${MODULEPATH:-}" ] || break
      # shellcheck disable=SC1090
      [ ! -r "$clusterrun_init" ] || . "$clusterrun_init"
    done
  fi
  type module >/dev/null 2>&1 || exit 1
  [ -n "${MODULEPATH:-}" ] || clusterrun_note="; MODULEPATH is empty on $HOSTNAME"
}
