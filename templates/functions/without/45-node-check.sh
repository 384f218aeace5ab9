# Nodes are not checked: node_check is false.
node_is_fit() { :; }
find_unfit_node() { :; }
