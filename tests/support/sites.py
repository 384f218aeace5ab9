"""Answers of real Slurms to the doctor, one per generation and state of accounting, as values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clusterrun.site_checks.finding import Finding
from clusterrun.slurm.site import Site

ANSWERS = Path(__file__).parents[1] / "slurm_answers"
GENERATIONS = ("22.05", "24.11", "26.05")
every_slurm = pytest.mark.parametrize("generation", GENERATIONS)


def site(generation: str = "26.05", accounting: str = "on", **replaced: str) -> Site:
    """The answers of one cluster; `replaced` changes keys of slurm.conf, as scontrol shows them."""
    values = json.loads((ANSWERS / f"{generation}-{accounting}.json").read_text())
    texts = {name: {key: "\n".join(text) if isinstance(text, list) else text for key, text in answer.items()}
             for name, answer in values.items()}  # fmt: skip
    found = Site.of(texts)
    lines = found.config.out.splitlines()
    for key, value in replaced.items():
        assert any(line.split("=")[0].strip() == key for line in lines)
        lines = [
            f"{key} = {value}" if line.split("=")[0].strip() == key else line for line in lines
        ]
    return replace(found, config=replace(found.config, out="\n".join(lines)))


def by_topic(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by topic; each topic occurs once."""
    found = {finding.topic: finding for finding in findings}
    assert len(found) == len(findings)
    return found
