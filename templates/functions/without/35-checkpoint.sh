# The training library, clusterrun.training, publishes the checkpoints of this run.
find_newest_checkpoint() { read_value checkpoint "$run_dir/saves"; }
