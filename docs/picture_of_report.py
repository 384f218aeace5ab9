"""Makes docs/report.png, the picture of a report's page, with Chromium: `python docs/picture_of_report.py [RUN]`.

Without a RUN it is the page of the story in tests/run_story.py.
"""

# ruff: noqa: INP001 - a script, and no package

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from clusterrun.page.page import page  # noqa: E402
from clusterrun.report import report  # noqa: E402
from tests.run_story import StoryTeller  # noqa: E402


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        story = StoryTeller(folder / "gpt2-medium-20261121-060228-9786", time.time() - 43_200)
        run = sys.argv[1] if len(sys.argv) > 1 else str(story.tell().folder)
        (folder / "page.html").write_text(page(report(run)), encoding="utf-8")
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1240,1010"]
        words += [f"--user-data-dir={folder / 'profile'}", f"--screenshot={ROOT / 'docs' / 'report.png'}"]
        subprocess.run(["chromium", *words, (folder / "page.html").as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
