# Nodes are not checked: node_check is false.
fits() { :; }
find_unfit_node() { :; }
