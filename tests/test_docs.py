"""The pages match the project: the reference, the commands that they name, and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun.cli import COMMANDS
from tests.support.pages import page_of, written_by

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("benchmarks/**/*.md"),
    ROOT / "tests/slurm/README.md",
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def generated() -> str:
    return written_by("job_spec")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in _LINK.findall(page.read_text()):
            if not target.startswith(("http://", "https://")):
                yield page, target


def test_the_reference_matches_the_models() -> None:
    """docs/reference/job-spec.md is what tools/docs/job_spec.py writes.

    `python tools/docs/generate.py` updates it.
    """
    assert (ROOT / "docs" / "reference" / "job-spec.md").read_text() == generated()


def test_every_key_has_a_meaning() -> None:
    """No row of the reference's tables ends with an empty cell."""
    rows = [line for line in generated().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


@pytest.mark.parametrize("script", ["commands", "states", "diagnoses"])
def test_a_generated_page_equals_the_output_of_its_script(script: str) -> None:
    """`python tools/docs/SCRIPT.py`, or `make docs`, updates a page."""
    assert page_of(script).read_text() == written_by(script)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_command(command: str) -> None:
    """Each command has a section, with its options."""
    assert f"\n### {command}\n" in page_of("commands").read_text()


def test_the_readme_starts_with_eight_commands() -> None:
    """A new user needs no more than these."""
    table = README.read_text().partition("## Eight commands")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `clusterrun ([a-z]+)", table, re.MULTILINE)
    assert len(rows) == 8
    assert {"validate", "submit", "status", "why", "logs"} <= {*rows}


def test_the_readme_names_only_existing_commands() -> None:
    """Every `clusterrun WORD` in code on a page is a command; the benchmarks also name methods."""
    known = {*COMMANDS, "JOB", "RUN"}
    for page in PAGES:
        text = page.read_text()
        code = "\n".join(
            [
                *re.findall(r"```.*?```", text, re.DOTALL),
                *re.findall(r"`(?!python benchmarks/)[^`\n]+`", text),
            ]
        )
        assert set(re.findall(r"(?<!from )\bclusterrun ([a-z]+)\b", code)) <= known, page


@pytest.mark.parametrize(
    ("page", "target"), [pytest.param(*link, id=f"{link[0].name}-{link[1]}") for link in links()]
)
def test_every_link_has_a_target(page: Path, target: str) -> None:
    """A link names a file of the checkout, and one of its headings if it has an anchor."""
    name, _, anchor = target.partition("#")
    place = (page.parent / name).resolve() if name else page
    assert place.exists()
    assert not anchor or anchor in anchors(place)


def test_the_makefile_has_every_target_that_is_named() -> None:
    """Each `make TARGET` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        code = re.findall(r"`make ([a-z]+)", page.read_text()) + re.findall(
            r"^make ([a-z]+)", page.read_text(), re.MULTILINE
        )
        assert set(code) <= targets, page
