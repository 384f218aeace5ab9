# This run has one node.
# sets: num_machines
use_nodes() {
  num_machines=$SLURM_JOB_NUM_NODES
  [ "$num_machines" -eq 1 ] || fail "this script is for one node, but Slurm gave $num_machines: set slurm.nodes in the spec"
}
network_interface() { :; }
report_absent_nodes() { :; }
report_no_connection() { :; }
another_crashed() { return 1; }
no_node_is_fit() { return 1; }
