# ---- launcher: checks once, before the launch, that the launcher is found, and its torch built for the node's GPUs

# check_launcher LAUNCHER [gpus]: srun starts python itself
check_launcher() {
  local clusterrun_launcher=${1/srun/python}
  clusterrun_step "$clusterrun_launcher not found on PATH; set environment.venv, environment.conda or environment.modules"
  command -v "$clusterrun_launcher" >/dev/null || exit  # also a function, as sites define for containers
  [ "$1" = srun ] || check_python "$@"
}

# check_python LAUNCHER [gpus]: without a Python in the first line of LAUNCHER nothing is checked
check_python() {
  local clusterrun_python='' clusterrun_fault
  IFS= read -r clusterrun_python 2>/dev/null < "$(type -P "$1")"
  case $clusterrun_python in '#!'*python*) ;; *) return 0 ;; esac
  clusterrun_python=${clusterrun_python#'#!'} clusterrun_python=${clusterrun_python# }
  case $clusterrun_python in */env\ *) clusterrun_python=${clusterrun_python#*env } ;; *) clusterrun_python=${clusterrun_python%% *} ;; esac
  clusterrun_step "the Python of $1 does not start: $clusterrun_python"
  clusterrun_fault=$(print_python_check | "$clusterrun_python" - "${2:+$(print_gpu_kind)}") || exit
  clusterrun_step "$clusterrun_fault"
  [ -z "$clusterrun_fault" ] || exit 1
}

# Print whose GPUs the driver of this node serves, or nothing.
print_gpu_kind() { if [ -e /dev/nvidiactl ]; then echo NVIDIA; elif [ -e /dev/kfd ]; then echo AMD; fi; }

# Nothing is imported: torch alone takes seconds.
print_python_check() {
  cat <<'END_OF_PROGRAM'
import re, sys
from importlib.util import find_spec
from pathlib import Path
torch = find_spec("torch")
if torch is None or not torch.origin:
    print(f"torch is not installed for {sys.executable}; install it there, or select another environment")
elif sys.argv[1] and not any(map(find_spec, ("torch_npu", "torch_xla", "habana_frameworks"))):
    file = Path(torch.origin).with_name("version.py")
    text = file.read_text() if file.exists() else ""
    builds = re.findall(r"^(?:cuda|hip|xpu)\b[^=\n]*= *(\S+)", text, re.MULTILINE)
    if builds and set(builds) == {"None"}:
        print(f"torch in {file.parent} is built for CPUs only, but the node has {sys.argv[1]} GPUs; install a build for them")
END_OF_PROGRAM
}
