"""Type the recorded terminals of the documentation on a real cluster, and write what they show.

A block after `<!-- recorded: NAME -->` shows what its lines print at that moment of
tools/docs/pictures_of_commands.py.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.slurm.desk import CLUSTERRUN, Desk  # noqa: E402
from tests.support.page_blocks import all_blocks  # noqa: E402


def anonymous(desk: Desk, text: str) -> str:
    """Return a terminal's text without the places of this machine."""
    places = {str(desk.cluster.folder): "/cluster", str(ROOT): "~", sys.prefix: "~/.venv"}
    shown = text.replace(f"{desk.cluster.home(desk.user)}", "~")
    return functools.reduce(lambda shown, place: shown.replace(*place), places.items(), shown)


def type_line(desk: Desk, line: str, timeout: float) -> str:
    """Type a line at a user's shell; stdout and stderr are mixed as on a terminal."""
    environment = {
        "PATH": f"{CLUSTERRUN.parent}:/usr/local/bin:/usr/bin:/bin",
        "CLUSTERRUN_PROFILE": str(desk.cluster.home(desk.user) / "site.yaml"),
        "COLUMNS": "120",
        "PYTHONUNBUFFERED": "1",
    }
    shown = desk.cluster.run_as(
        desk.user,
        ["bash", "-c", f"exec 2>&1\n{line}"],
        env=environment,
        check=False,
        timeout=timeout,
    )
    return shown.stdout


def record(desk: Desk, name: str, timeout: float = 60) -> None:
    """Type the blocks of this name, and write their pages."""
    for block in list(all_blocks("console")):
        if (block.marker, block.words) != ("recorded", name):
            continue
        shown = ""
        for line, _ in block.typed():
            output = anonymous(desk, type_line(desk, line, timeout))
            shown += f"$ {line}" + "".join(f"{one.rstrip()}\n" for one in output.splitlines())
        page = block.page.read_text(encoding="utf-8")
        marker = f"<!-- recorded: {name} -->\n```console\n"
        page = page.replace(f"{marker}{block.text}", f"{marker}{shown}")
        block.page.write_text(page, encoding="utf-8")
        print(f"recorded {name} in {block.place}", flush=True)
