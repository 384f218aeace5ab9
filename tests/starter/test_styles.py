"""Scripts in the styles that people publish: each is carried over and proven, or refused.

tests/sbatch_scripts/styles has the spec of each, or the words of its refusal;
CLUSTERRUN_GOLDEN=write rewrites them.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.styles import PATHS, outcome_of
from tools.docs import translations

NAMES = [path.stem for path in PATHS]


def test_there_are_many_styles():
    assert len(PATHS) >= 60
    assert len({*NAMES}) == len(NAMES)


def test_the_page_is_current():
    """The table of these scripts is current, and none starts something else."""
    text = translations.page([outcome_of(path) for path in PATHS])
    assert translations.PAGE.read_text() == text
    assert "and 0 start something else" in text


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_style(path):
    """The spec starts the same ranks as the script, or the script is refused with its lines."""
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    outcome = outcome_of(path)
    if path.parent.name == "styles":
        golden = path.with_suffix(".yaml" if outcome.draft else ".txt")
        if os.environ.get("CLUSTERRUN_GOLDEN") == "write":
            golden.write_text(outcome.text)
        assert golden.read_text() == outcome.text
    if outcome.proof is None:
        assert f"{path.name}:" in outcome.refusal
        assert "hint: " in outcome.refusal
    else:
        assert (outcome.proof.differences, outcome.proof.unchecked) == ((), "")
