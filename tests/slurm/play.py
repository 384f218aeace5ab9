"""`python -m tests.slurm.play`: a cluster and a shell on it; exiting the shell stops the cluster."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from clusterrun.job_spec.profile import own_profile
from tests.slurm.cluster import Cluster, missing
from tests.slurm.cluster.cluster import SCRIPTS

WELCOME = """\
You are alice on the login machine of a Slurm cluster; nodes: {nodes}.
Your home is {home}: put files there from outside, because this shell has a /tmp of its own.
Your runs go to {root}, the run root in {profile}.
  clusterrun doctor                    what the cluster allows
  clusterrun submit job.yaml           queue a run; then clusterrun status, logs -f, why
  sbatch -p high -N4 --exclusive -t 1 --wrap 'sleep 30'    preempt the runs in partition low
Partitions: main, low (grace time 15 s), low0, lowc (preempted by CANCEL), high; see sinfo.
From another terminal, as root: {scripts}/node -d {folder} crash n1 (start, cut, heal, ...).
exit ends the shell and the cluster."""


def main() -> int:
    """Start a cluster, run a shell, stop the cluster; return the shell's exit code."""
    reason = missing()
    if reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    with Cluster.start() as cluster:
        names = ", ".join(cluster.nodes)
        home, root = cluster.home("alice"), cluster.scratch / "alice"
        profile = write_profile(home, root)
        print(
            WELCOME.format(
                nodes=names,
                folder=cluster.folder,
                home=home,
                scripts=SCRIPTS,
                root=root,
                profile=profile,
            )
        )
        environment = Path(sys.executable).parent
        shell = ["env", f"PATH={environment}:/usr/local/bin:/usr/bin:/bin", "bash"]
        return subprocess.call([SCRIPTS / "login", "-d", cluster.folder, "alice", *shell])


def write_profile(home: Path, root: Path) -> Path:
    """Write alice's profile, so that her runs are on the disk that all nodes share."""
    profile = own_profile({"HOME": str(home)})
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(f"run_root: {root}\n")
    owner = home.stat()
    for path in (profile, *profile.relative_to(home).parents):
        shutil.chown(home / path, owner.st_uid, owner.st_gid)
    return profile


if __name__ == "__main__":
    sys.exit(main())
