"""Let the site's pages link to files of the checkout, as they do on any forge.

MkDocs knows the files of docs/ only. These hooks publish what else pages link to: Markdown pages
such as the changelog as pages, and job specs, configs and examples as pages that show the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Pages that are in the navigation, and where they come from.
IN_NAVIGATION = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
# Pages that others link to.
LINKED = ["benchmarks/README.md", "benchmarks/results/*.md", "tests/slurm/README.md"]
# Files that are shown as they are.
SHOWN = ["job_specs/*.yaml", "configs/*", "examples/*.py", "LICENSE"]
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json"}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def published() -> dict[str, str]:
    """Return the path of each published file of the checkout, and of its page in the site."""
    pages = dict(IN_NAVIGATION)
    for pattern in LINKED:
        pages |= {name: f"project/{name}" for name in found(pattern)}
    for pattern in SHOWN:
        pages |= {name: f"files/{name}.md" for name in found(pattern)}
    return pages


def found(pattern: str) -> list[str]:
    """Return the files of the checkout that match a pattern."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.is_file())


def shown(name: str) -> str:
    """Return the page that shows a file."""
    text = (ROOT / name).read_text(encoding="utf-8").rstrip()
    return f"# {name}\n\n````{LANGUAGES.get(Path(name).suffix, 'text')}\n{text}\n````\n"


def relinked(text: str, source: str, page: str) -> str:
    """Point the links of a file of the checkout to pages of the site.

    `source` is the path of the file in the checkout, `page` that of its page in the site. A link to
    a file that has no page becomes its text.
    """

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        name, _, anchor = target.partition("#")
        if not name or re.match(r"\w+:", target):
            return match[0]
        path = os.path.normpath(PurePosixPath(source).parent / name)
        place = path.removeprefix("docs/") if path.startswith("docs/") else published().get(path)
        if place is None:
            return words if (ROOT / path).exists() else match[0]
        place = os.path.relpath(place, PurePosixPath(page).parent)
        return f"[{words}]({place}{'#' if anchor else ''}{anchor})"

    return LINK.sub(link, text)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in published().items():
        inside = source in IN_NAVIGATION
        text = (ROOT / source).read_text(encoding="utf-8") if source.endswith(".md") else ""
        files.append(
            File.generated(
                config,
                page,
                content=text or shown(source),
                inclusion=InclusionLevel.UNDEFINED if inside else InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point a page's links to pages of the site."""
    del config, files
    place = page.file.src_uri
    source = next((name for name, to in published().items() if to == place), f"docs/{place}")
    return markdown if place.startswith("files/") else relinked(unescaped(markdown), source, place)


def unescaped(markdown: str) -> str:
    """Return a page without the backslashes that a forge needs before a pipe in a table's code."""
    rows = re.compile(r"^\|.*$", re.MULTILINE)
    code = re.compile(r"`[^`]*`")
    return rows.sub(lambda row: code.sub(lambda one: one[0].replace(r"\|", "|"), row[0]), markdown)
