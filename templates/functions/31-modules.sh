# ---- modules: finds the site's module command

find_modules() {
  local init
  type module >/dev/null 2>&1 && return
  for init in "${LMOD_PKG:-/usr/share/lmod/lmod}/init/bash" "${MODULESHOME:-/usr/share/modules}/init/bash" \
    /etc/profile.d/{lmod,modules,z00_lmod,z00-lmod,00-modulepath}.sh /usr/share/Modules/init/bash /opt/apps/lmod/lmod/init/bash; do
    # shellcheck disable=SC1090
    [ -r "$init" ] && . "$init" && type module >/dev/null 2>&1 && return
  done
  fail "environment.modules: no module command found on $(hostname)"
}
