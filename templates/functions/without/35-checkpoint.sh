# The checkpoints of this run are those that clusterrun.training publishes.
find_newest_checkpoint() { value checkpoint "$run_dir/saves"; }
