"""Record docs/pictures/recording.svg: a real run on this machine, as a terminal shows it.

A run is submitted without Slurm, preempted as Slurm does it, resumes and finishes. What the
commands print is real, and so is their order; waiting is shortened, and the picture says by how
much. It takes about two minutes: `python tools/docs/recording.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import clusterrun
from clusterrun.local import preempt
from clusterrun.run_folder.paths import RunPaths

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "pictures" / "recording.svg"
SPEC = """\
name: tiny-gpt2
script: examples/train_causal_lm.py
args: {max_steps: 300, logging_steps: 20}
slurm: {time: 30:00, cpus-per-task: 2}
accelerate: {num_processes: 2, use_cpu: true}
environment: {venv: .venv, variables: {OMP_NUM_THREADS: 1, HF_HUB_OFFLINE: 1}}
checkpoint: {every: 100 steps, keep: 3}
"""
COLUMNS, ROWS = 96, 27
LINE, CHARACTER, MARGIN, BAR = 18, 8.4, 16, 34
LENGTH = 30.0
"""Seconds of the picture, before it begins again."""
LAST = 4.0
"""Seconds for which the last screen stays."""
SHORTEST = 0.25
"""Seconds that a screen is shown at least; shorter ones are left out."""
COLOURS = {
    1: "font-weight:bold",
    2: "opacity:.65",
    31: "fill:#ff7b72",
    32: "fill:#7ee787",
    33: "fill:#f2cc60",
    34: "fill:#79c0ff",
    35: "fill:#d2a8ff",
    36: "fill:#76e3ea",
}


@dataclass
class Recording:
    """What a terminal showed, screen by screen.

    Of each screen: the second at which it appeared, for how many seconds the picture holds it (0: a
    part of what is watched, which is shortened), and its lines.
    """

    folder: Path
    screens: list[tuple[float, float, list[str]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def show(self, *lines: str, hold: float = 0) -> None:
        """Add lines at the end of the screen."""
        self.lines += lines
        self.screens.append((time.monotonic() - self.began, hold, self.lines[-ROWS:]))

    def replace(self, count: int, lines: list[str]) -> None:
        """Show lines in place of the last `count`."""
        self.lines = self.lines[: len(self.lines) - count]
        self.show(*lines)

    def output(self, line: str) -> list[str]:
        """Run a command line on a terminal, and return what it shows, colours and all."""
        environment = os.environ | {
            "HOME": str(self.folder), "TERM": "xterm-256color", "COLUMNS": str(COLUMNS),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SHELL": "/bin/bash",
        }  # fmt: skip
        done = subprocess.run(
            ["script", "-qec", f"stty cols {COLUMNS}; {line}", "/dev/null"],
            cwd=self.folder, env=environment, text=True, capture_output=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        shown = done.stdout.replace("\r\n", "\n")
        for place in (self.folder, ROOT):
            shown = shown.replace(str(place), "~")
        lines = [one.rpartition("\r")[2].rstrip() for one in shown.rstrip("\n").split("\n")]
        plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", one) for one in lines]
        return [
            one for one, text in zip(lines, plain, strict=True) if not text.startswith("reading")
        ]

    def command(self, line: str) -> None:
        """Type a command, and show what it prints."""
        self.show(f"\033[1m$ {line}\033[0m", hold=1.0)
        self.show(*self.output(line), "", hold=1.8)


def record(folder: Path) -> Recording:
    """Let a run train, be preempted, resume and finish."""
    for name in ("examples", "configs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "tiny-gpt2.yaml").write_text(SPEC)
    found = Recording(folder)
    found.command("clusterrun validate tiny-gpt2.yaml")
    found.command("clusterrun submit tiny-gpt2.yaml --local")
    found.show("\033[1m$ clusterrun status tiny-gpt2 --watch\033[0m", hold=1.0)
    watch(found)
    found.show("")
    found.command("clusterrun checkpoints tiny-gpt2 --verify")
    return found


def watch(found: Recording) -> None:
    """Show the status again and again, and preempt the run midway."""
    height, preempted = 0, False
    while True:
        status = clusterrun.status("last")
        lines = found.output("clusterrun status tiny-gpt2")
        found.replace(height, lines)
        height = len(lines)
        if status.state.final:
            return
        if not preempted and (status.step or 0) > 110:
            preempt(RunPaths(Path(status.folder)))
            preempted = True
        time.sleep(2)


def scaled(recording: Recording) -> list[tuple[float, list[str]]]:
    """Return the screens at their seconds of the picture; the last stays for the rest."""
    screens, found, at = recording.screens, [], 0.0
    ends = [later[0] for later in screens[1:]] + [screens[-1][0]]
    scale = watched_share(recording)
    for (start, hold, lines), end in zip(screens, ends, strict=True):
        seconds = hold or (end - start) * scale
        if found and at - found[-1][0] < SHORTEST:
            found[-1] = (found[-1][0], lines)
        else:
            found.append((at, lines))
        at += seconds
    return found


def watched_share(recording: Recording) -> float:
    """Return how many seconds of the picture show a second of what was watched."""
    screens = recording.screens
    held = sum(hold for _, hold, _ in screens) + LAST
    ends = [later[0] for later in screens[1:]] + [screens[-1][0]]
    watched = sum(end - one[0] for one, end in zip(screens, ends, strict=True) if not one[1])
    return (LENGTH - held) / watched


def spans(line: str) -> str:
    """Return a line with its colours as SVG."""
    out, style = "", ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if found := re.fullmatch(r"\x1b\[([0-9;]*)m", part):
            codes = [int(code or 0) for code in found[1].split(";")]
            style = ";".join(COLOURS[code] for code in codes if code in COLOURS)
        elif part:
            text = escape(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part))
            out += f'<tspan style="{style}">{text}</tspan>' if style else text
    return out


def frame(number: int, start: float, end: float, lines: list[str]) -> tuple[str, str]:
    """Return a screen, and the rule that shows it from one second to another."""
    rows = "".join(
        f'<text x="{MARGIN}" y="{BAR + (row + 1) * LINE}">{spans(line)}</text>'
        for row, line in enumerate(lines) if line
    )  # fmt: skip
    first, last = start / LENGTH * 100, end / LENGTH * 100
    rule = (
        f"@keyframes s{number}{{0%,{max(first - 0.001, 0):.3f}%{{visibility:hidden}}"
        f"{first:.3f}%,{last - 0.001:.3f}%{{visibility:visible}}"
        f"{last:.3f}%,100%{{visibility:hidden}}}}"
        f".s{number}{{animation:s{number} {LENGTH}s step-end infinite}}"
    )
    return f'<g class="s s{number}">{rows}</g>', rule


def draw(recording: Recording) -> str:
    """Return the picture: one group a screen, shown by CSS; without animation the last one."""
    screens = scaled(recording)
    ends = [at for at, _ in screens[1:]] + [LENGTH]
    drawn = [
        frame(number, start, end, lines)
        for number, ((start, lines), end) in enumerate(zip(screens, ends, strict=True))
    ]
    width, height = int(COLUMNS * CHARACTER + 2 * MARGIN), BAR + ROWS * LINE + MARGIN
    faster = 1 / watched_share(recording)
    style = (
        ".s{visibility:hidden}.s:last-of-type{visibility:visible}"
        "@media (prefers-reduced-motion:reduce){.s{animation:none!important}}"
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;"
        "fill:#e6edf3;white-space:pre}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f"<title>A run is preempted, resumes and finishes</title>"
        f"<style>{style}{''.join(rule for _, rule in drawn)}</style>"
        f'<rect width="{width}" height="{height}" rx="10" fill="#161b22"/>'
        f'<g fill="#6e7681"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6"/>'
        f'<circle cx="60" cy="18" r="6"/></g><text x="{width - MARGIN}" y="22" text-anchor="end" '
        f'style="opacity:.6">a real run, watched {faster:.0f} times as fast</text>'
        f"{''.join(screen for screen, _ in drawn)}</svg>\n"
    )


def main() -> None:
    """Record and draw."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["HOME"] = name
        PICTURE.write_text(draw(record(Path(name))), encoding="utf-8")


if __name__ == "__main__":
    main()
