"""Makes docs/pictures/report.png: the page of a run that is preempted, crashes, and finishes.

On the tests' cluster it takes about two minutes, and needs root and Chromium:
`python tools/docs/picture_of_report.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "pictures" / "report.png"
sys.path.insert(0, str(ROOT))
from tests.slurm.cluster import Cluster  # noqa: E402
from tests.slurm.desk import Desk  # noqa: E402
from tests.slurm.survival import completes, preempt, reaches, survive  # noqa: E402


def page_of_a_run() -> str:
    """Let a run go through it all, and return its page."""
    with Cluster.start(accounting=False) as cluster:
        desk = Desk(cluster, "alice")
        args = {"slow_at": [20, 60, 300], "pace": 0.2, "crash_step": 150, "crash_attempts": 2}
        run = survive(desk, "survivor", args=args)
        reaches(run, 1, 90)
        preempt(desk, run)
        completes(desk, run)
        desk.cli("report", run.run_id, "--html", "page.html")
        return (cluster.home("alice") / "page.html").read_text(encoding="utf-8")


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "page.html"
        place.write_text(page_of_a_run(), encoding="utf-8")
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1240,1180",
        ]
        words += [f"--user-data-dir={name}/profile", f"--screenshot={PICTURE}"]
        subprocess.run(["chromium", *words, place.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
