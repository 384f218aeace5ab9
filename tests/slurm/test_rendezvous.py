"""The ranks of several nodes meet, although host names resolve as on a plain Debian."""

from __future__ import annotations

from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk
from tests.slurm.test_journey import TWO_RANKS, WHO, who


def test_a_host_name_that_means_loopback(cluster_without_accounting: Cluster) -> None:
    """Debian resolves a machine's own name to 127.0.1.1; the ranks of two nodes meet anyway."""
    own_name = "sed 's/^[0-9.]* '$0'$/127.0.1.1 '$0'/' /etc/hosts > /tmp/hosts && mount --bind /tmp/hosts /etc/hosts"
    for node in ("n1", "n2"):
        cluster_without_accounting.run_on(node, ["sh", "-c", own_name, node])
        shown = cluster_without_accounting.run_on(node, ["getent", "hosts", node]).stdout
        assert shown.split() == ["127.0.1.1", node]
    try:
        desk = Desk(cluster_without_accounting, "alice")
        where = {**TWO_RANKS, "nodelist": "n[1-2]"}
        cpu = {"use_cpu": True}
        run = desk.submit("loopback", script=WHO, slurm=where, accelerate=cpu, real_launch=True)
        assert desk.wait(run) == "COMPLETED", run.log()
        assert [(rank["world"], rank["sum"]) for rank in who(run)] == [(2, 3)] * 2
    finally:
        for node in ("n1", "n2"):
            cluster_without_accounting.run_on(node, ["umount", "/etc/hosts"])
