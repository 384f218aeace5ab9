"""The site is built without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.page_blocks import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="no mkdocs here")


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        config,
        "--site-dir",
        folder,
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once. mkdocs.yml is strict: a broken link, a broken anchor or an orphan page ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    """Scripts, styles, pictures and fonts are files of the site."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'(?:src|srcset)="(?:https?:)?//[^"]*', text) == [], page
        assert re.findall(r'<link[^>]+href="(?:https?:)?//[^"]*', text) == [], page
    for style in site.rglob("*.css"):
        assert (
            re.findall(r"url\([\"']?(?:https?:)?//[^)]*", style.read_text(encoding="utf-8")) == []
        ), style


def test_the_search_knows_every_page_of_the_navigation(site: Path) -> None:
    """The index is a script too, which a browser loads from file://."""
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert f'"location":"{place}' in index, place


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_the_search_works_without_a_server(site: Path, tmp_path: Path) -> None:
    """In a browser that has opened the site from a disk, without a network, a word finds pages."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    options += ["--virtual-time-budget=8000", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    page = subprocess.run(
        ["chromium", *options, f"{(site / 'index.html').as_uri()}?q=preemption"],
        text=True, capture_output=True, check=False, timeout=120,
    ).stdout  # fmt: skip
    assert re.search(r"\d+ matching documents", page)
    assert "<h1>How a run survives<" in page


def test_a_table_shows_pipes_without_backslashes(site: Path) -> None:
    """The backslash that a forge needs before a pipe in a table's code does not appear on the page."""
    assert "<code>int | None</code>" in (site / "reference" / "python.html").read_text(
        encoding="utf-8"
    )


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    """A page that does not exist, a heading that does not exist, and a file of the checkout that does not exist."""
    docs = tmp_path / "docs"
    (docs / "start").mkdir(parents=True)
    (docs / "start" / "install.md").write_text("# Install\n")
    links = ["start/no-page.md", "start/install.md#no-heading", "../no-file.md"]
    (docs / "index.md").write_text("# Home\n\n" + "".join(f"[x]({link})\n" for link in links))
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[0]
    text = text.replace("docs_dir: docs", f"docs_dir: {docs}")
    text = text.replace("hooks: [", f"hooks: [{ROOT}/")
    text = re.sub(r"\ntheme:\n.*?\nextra:\n", "\nplugins: []\nextra:\n", text, flags=re.DOTALL)
    (tmp_path / "mkdocs.yml").write_text(text)
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    for link in ("no-page.md", "#no-heading", "no-file.md"):
        assert link in done.stderr


def test_generated_pages_name_their_script() -> None:
    """Each page that a script writes says so, and the script exists."""
    found = set()
    for page in (ROOT / "docs").rglob("*.md"):
        for script in re.findall(r"<!-- Written by (\S+)", page.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), page
            found.add(Path(script).stem)
    assert found >= {"job_spec", "commands", "python_api", "answers", "states", "diagnoses"}
