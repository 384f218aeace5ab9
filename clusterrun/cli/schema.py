"""`clusterrun schema`: what an editor needs to complete and check job specs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from clusterrun.errors import Problem, SpecError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write it there, over what stands there (default: stdout)"
    )


def run(options: argparse.Namespace) -> int:
    """Print or write the JSON Schema of a job spec."""
    from clusterrun.spec.schema import json_schema  # noqa: PLC0415 - `--help` starts faster without

    text = json.dumps(json_schema(), indent=2) + "\n"
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(
            [Problem("--output", "", f"{options.output}: {(error.strerror or str(error)).lower()}")]
        ) from error
    print(f"written: {options.output}", file=sys.stderr)
    return 0
