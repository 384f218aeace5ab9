"""`clusterrun schema [COMMAND]`: the JSON Schema of a job spec, or of a command's `--json`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "of", metavar="COMMAND", nargs="?", help="print the schema of this command's --json"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write to this file, replacing it (default: stdout)",
    )


def run(options: argparse.Namespace) -> int:
    """Print or write a JSON Schema."""
    text = json.dumps(_make_schema(options.of), indent=2) + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(
            [Problem("--output", "", f"{options.output}: {(error.strerror or str(error)).lower()}")]
        ) from error
    print(f"wrote {options.output}", file=sys.stderr)
    return 0


# The imports are here so that `--help` starts faster.
def _make_schema(command: str | None) -> dict[str, Any]:
    if command is None:
        from clusterrun.job_spec.json_schema import json_schema  # noqa: PLC0415

        return json_schema()
    from clusterrun.json_output.answer_schema import answer_schema  # noqa: PLC0415

    return answer_schema(command)
