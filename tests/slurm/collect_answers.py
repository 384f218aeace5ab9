"""Writes tests/slurm_answers: the answers of three generations of Slurm to `clusterrun doctor`.

`python -m tests.slurm.collect_answers [22.05 ...]`, as root; the unit tests of doctor read these
files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.cluster.suites import SUITE_OF, suite_with

FOLDER = Path(__file__).parents[1] / "slurm_answers"
ASK = "import json; from clusterrun.slurm.site import query_site; print(json.dumps(query_site('alice').as_dict()))"


def ask(cluster: Cluster, **environment: str) -> dict[str, dict[str, object]]:
    """Return the answers to alice's queries on the login machine."""
    answer = cluster.run_as("alice", [sys.executable, "-c", ASK], env=environment)
    found: dict[str, dict[str, object]] = json.loads(answer.stdout)
    return found


def without_paths(
    cluster: Cluster, values: dict[str, dict[str, object]]
) -> dict[str, dict[str, object]]:
    """Replace the cluster's folder, which differs each time, by /cluster."""
    replaced: dict[str, dict[str, object]] = json.loads(
        json.dumps(values).replace(str(cluster.folder), "/cluster")
    )
    return replaced


def collect(generation: str) -> None:
    """Query a cluster of one generation: with accounting, with slurmdbd killed, and with accounting
    off.
    """
    suite = suite_with(generation).folder
    FOLDER.mkdir(exist_ok=True)
    with Cluster.start(suite=suite, nodes=2) as cluster:
        write(generation, "on", without_paths(cluster, ask(cluster)))
        cluster.kill_daemon("slurmdbd")
        write(generation, "broken", without_paths(cluster, ask(cluster)))
    with Cluster.start(suite=suite, nodes=1, accounting=False, cgroup=True) as cluster:
        write(generation, "off", without_paths(cluster, ask(cluster)))


def write(generation: str, accounting: str, values: dict[str, dict[str, object]]) -> None:
    """Write the answers of one cluster; texts as lists of lines, which are readable."""
    lines = {name: {key: text.splitlines() if isinstance(text, str) else text for key, text in answer.items()}
             for name, answer in values.items()}  # fmt: skip
    (FOLDER / f"{generation}-{accounting}.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SUITE_OF:
        collect(wanted)
