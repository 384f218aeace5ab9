"""Write docs/reference/translated-scripts.md, what becomes of the scripts in tests/sbatch_scripts.

A test compares the page with this script's output.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.styles import PATHS, Outcome, outcome_of  # noqa: E402 - after the path

PAGE = ROOT / "docs" / "reference" / "translated-scripts.md"
INTRODUCTION = """\
# Old scripts that are translated

<!-- Written by tools/docs/translations.py from tests/sbatch_scripts. -->

Each row is a script in a style that people publish, in `tests/sbatch_scripts`.
`clusterrun init --from-sbatch` translates it, and [the check](../start/from-sbatch.md#the-check)
compares what the script and the spec would start, rank by rank. A script is refused if a spec
cannot express what it does; the message names the line and what to do.

- **lines**: the script's lines, without comments. **raw**: lines that the spec keeps as shell,
  in `environment.setup` or `command`.
- **reported**: mistakes found in the script, and differences that are noted.
"""


def row(outcome: Outcome) -> str:
    """Return the table's row for a script."""
    name = outcome.path.stem.replace("_", " ")
    if outcome.draft is None or outcome.proof is None:
        why = outcome.refusal.splitlines()[0].partition(": ")[2].replace("|", "\\|")
        return f"| {name} | {outcome.lines} | | refused: {why} |"
    reported = len(outcome.draft.mistakes) + len(outcome.draft.notes)
    result = "wrong" if outcome.proof.differences else outcome.proof.unchecked or "same"
    return f"| {name} | {outcome.lines} | {outcome.raw_lines} | {result}; {reported} reported |"


def page(outcomes: list[Outcome]) -> str:
    """Return the whole page."""
    translated = [one for one in outcomes if one.draft]
    wrong = sum(bool(one.proof and one.proof.differences) for one in outcomes)
    lines, raw = (sum(getattr(one, key) for one in translated) for key in ("lines", "raw_lines"))
    summary = (
        f"Of {len(outcomes)} scripts, {len(translated)} are translated, "
        f"{len(outcomes) - len(translated)} are refused, and {wrong} start something else. "
        f"Of {lines} lines, {raw} are kept as shell ({100 * raw // lines} %)."
    )
    head = ["| script | lines | raw | result |", "|---|---|---|---|"]
    return "\n".join([INTRODUCTION, summary, "", *head, *map(row, outcomes)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page([outcome_of(path) for path in PATHS]))
