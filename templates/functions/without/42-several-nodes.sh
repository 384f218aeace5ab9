# This run has one node.
# sets: num_machines
choose_node_count() {
  num_machines=$SLURM_JOB_NUM_NODES
  [ "$num_machines" -eq 1 ] || fail "this script is for one node, but Slurm allocated $num_machines; set slurm.nodes in the job spec"
}
find_network_interface() { :; }
report_absent_nodes() { :; }
report_no_connection() { :; }
another_node_crashed() { return 1; }
all_nodes_are_unfit() { return 1; }
