# Torch's GPUs are not checked: training runs on CPUs, without accelerate, or node_check is false.
check_torch() { :; }
environment_is_unfit() { return 1; }
