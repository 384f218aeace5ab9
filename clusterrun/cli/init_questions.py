"""The questions of `clusterrun init`.

On a terminal it prompts for values without an option; elsewhere it uses the defaults.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.starter.files import site_defaults
from clusterrun.starter.first_spec import STRATEGIES, SpecRequest
from clusterrun.starter.new_file import default_option, only_script, slurm_section
from clusterrun.starter.script import list_training_scripts

_QUESTIONS = {
    "nodes": "nodes",
    "gpus-per-node": "GPUs per node (0: none)",
    "partition": "partition (Enter: the default partition)",
    "time": "time limit per attempt",
}


def ask_for_request(options: argparse.Namespace, slurm: dict[str, Any]) -> SpecRequest:
    """Return the user's choices. Raises SpecError without a script or for an invalid profile."""
    asks = not options.yes and not options.json and sys.stdin.isatty() and sys.stderr.isatty()
    site = site_defaults(options.profile)
    script = options.script or _choose_script(asks=asks)
    strategy = options.strategy or (
        _prompt("strategy: " + ", ".join(STRATEGIES), "ddp") if asks else "ddp"
    )
    values: dict[str, str] = {}
    for name, value in slurm.items():
        default = default_option(name, site)
        is_asked = asks and name in _QUESTIONS and name not in site
        values[name] = (
            value
            if value is not None
            else _prompt(_QUESTIONS[name], default)
            if is_asked
            else default
        )
    return SpecRequest(script, strategy, slurm_section(values), options.name or "")


def _choose_script(*, asks: bool) -> str:
    if not asks:
        return only_script(Path.cwd())
    scripts = list_training_scripts(Path.cwd())
    return _prompt(
        f"training script{': ' + ', '.join(scripts) if len(scripts) > 1 else ''}",
        scripts[0] if scripts else "train.py",
    )


def _prompt(question: str, default: str) -> str:
    """Prompt on stderr, because stdout is for data.

    Enter accepts the default. Raises SpecError at the end of the input.
    """
    print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print(file=sys.stderr)
        raise SpecError(
            [
                Problem(
                    "",
                    "",
                    "no answer; nothing was written",
                    "use options instead: see clusterrun init --help",
                )
            ]
        )
    return answer.strip() or default
