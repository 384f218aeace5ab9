"""The pictures of the documentation are whole, are used, and show nothing of the machine that made them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.page_blocks import PAGES, ROOT

PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_used(picture: Path) -> None:
    assert any(f"pictures/{picture.name})" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize(
    "picture", [path for path in PICTURES if path.suffix == ".svg"], ids=lambda path: path.name
)
def test_a_drawn_terminal_is_well_formed(picture: Path) -> None:
    """It is XML that loads nothing, and names no folder of the machine."""
    text = picture.read_text(encoding="utf-8")
    ET.fromstring(text)  # noqa: S314 - our own files
    assert "url(http" not in text
    assert "href=" not in text
    assert not any(place in text for place in ("/tmp/", "/root/", str(ROOT)))


def test_the_recording_lasts_half_a_minute_and_ends_with_a_finished_run() -> None:
    """Each screen has its time, and the last one shows what became of the run."""
    text = (ROOT / "docs" / "pictures" / "recording.svg").read_text(encoding="utf-8")
    assert " 30.0s step-end infinite" in text
    last = text[text.rindex('<g class="s ') :]
    assert "COMPLETED" in last
    assert "preempted" in last
