"""`python -m tests.slurm.play`: a cluster and a shell on it; exiting the shell stops the cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.slurm.cluster import Cluster, missing
from tests.slurm.cluster.cluster import SCRIPTS

WELCOME = """\
You are alice on the login machine of a cluster of {nodes}; folder {folder}.
Try: sinfo, srun -N4 hostname, sbatch. Partitions: main, low, low0, lowc, and high, which preempts.
From another terminal, as root: {scripts}/node -d {folder} crash n1 (start, cut, heal, ...).
exit ends it all."""


def main() -> int:
    """Start a cluster, run a shell, stop the cluster; return the shell's exit code."""
    reason = missing()
    if reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    with Cluster.start() as cluster:
        names = ", ".join(cluster.nodes)
        print(WELCOME.format(nodes=names, folder=cluster.folder, scripts=SCRIPTS))
        environment = Path(sys.executable).parent
        shell = ["env", f"PATH={environment}:/usr/local/bin:/usr/bin:/bin", "bash"]
        return subprocess.call([SCRIPTS / "login", "-d", cluster.folder, "alice", *shell])


if __name__ == "__main__":
    sys.exit(main())
