"""List the texts that people read, and check them for words that the project's style replaces.

    python tools/wording.py [PATH ...]           check; exit with 1 if a word is found
    python tools/wording.py --list [PATH ...]    print every message, docstring and comment

Each line of tools/wording_allowed.txt is `path: text`: in that file, a text that contains `text`
may contain any word.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = Path(__file__).with_name("wording_allowed.txt")
READ_BY_DEFAULT = (
    "clusterrun", "templates", "docs", "job_specs", "configs", "examples", "benchmarks", "tools",
    "tests", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile",
)  # fmt: skip
# Texts of earlier versions, output of other programs, and the tests of this program.
NOT_READ = ("tests/data", "tests/slurm_ends", "tests/test_wording.py")
MARKED_TEXT = {".md", ".sh", ".j2", ".yaml", ".yml", ".html", ".js", ".css", ""}

REPLACEMENTS = {
    r"stands?(?!-ins?)|standing": "is, appears",
    r"beside": "next to, together with, conflicts with",
    r"amid": "during",
    r"anew": "again",
    r"in vain": "without success",
    r"all the same": "anyway",
    r"the like": "similar",
    r"otherwise than": "unlike",
    r"so many": "name the number",
    r"(goes|go|went|going) on": "continues, resumes",
    r"let go on": "resume",
    r"(comes?|came) back": "restarts, is requeued, returns",
    r"told|tells?|telling": "reports, prints, logs, shows",
    r"said": "reported, printed, wrote",
    r"hears?|heard": "receives",
    r"(?<!there )is no (?!longer|more than|need|way)\w+": "is not a valid ...",
    r"there is none|there are none": "no ... found",
    r"the (?-i:trainers?)": "the training process",
    r"begun": "started",
    r"mend(s|ed|ing)?": "fix",
    r"to be had": "available",
    r"spoilt": "corrupt",
    r"passing over|passes over|passed over": "skipping",
    r"where (it|they|this|that|there) (is|are) (given|set|none|missing)": "if it is set",
    r"of its own accord": "by itself",
    r"no more(?! than)": "no longer",
    r"lies|lie": "is",
    r"is wanted|are wanted": "is requested, is required",
    r"wherefore|whereof|thereof|whence|thence|hence": "therefore, from",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(REPLACEMENTS)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """One text that a person reads."""

    path: str
    line: int
    kind: str
    """`message`, `docstring`, `comment` or `text`."""
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.text}"


def texts_of(path: Path) -> Iterator[Text]:
    """Yield the texts of a file in the order of its lines; outside Python, each line is one."""
    name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = [*_strings(name, ast.parse(source)), *_comments(name, source)]
        yield from sorted(found, key=lambda text: text.line)
    elif path.suffix in MARKED_TEXT:
        for number, line in enumerate(source.splitlines(), 1):
            if line.strip():
                yield Text(name, number, "text", line.strip())


def _strings(name: str, tree: ast.Module) -> Iterator[Text]:
    """Yield docstrings, also those of attributes, and every other string that has a space."""
    parents: list[ast.AST] = [tree]
    while parents:
        parent = parents.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.JoinedStr):  # its parts are not visited: they are in its text
                yield Text(name, node.lineno, "message", _flatten(node))
            elif not isinstance(node, ast.Constant):
                parents.append(node)
            elif isinstance(node.value, str) and " " in node.value:
                kind = "docstring" if isinstance(parent, ast.Expr) else "message"
                yield Text(name, node.lineno, kind, " ".join(node.value.split()))


def _comments(name: str, source: str) -> Iterator[Text]:
    """Yield the comments; consecutive lines of comment are one text, so that no phrase is split."""
    start, end, parts = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, own_line = token.start[0], not token.line[: token.start[1]].strip()
        if parts and own_line and line == end + 1:
            parts.append(token.string.removeprefix("#").strip())
        else:
            if parts:
                yield Text(name, start, "comment", " ".join(parts))
            start, parts = line, [token.string]
        end = line
    if parts:
        yield Text(name, start, "comment", " ".join(parts))


def _placeholder(part: ast.expr) -> str:
    return f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else "{...}"


def _flatten(node: ast.JoinedStr) -> str:
    parts = (
        part.value if isinstance(part, ast.Constant) else _placeholder(part) for part in node.values
    )
    return " ".join("".join(map(str, parts)).split())


def files_below(paths: list[Path]) -> Iterator[Path]:
    """Yield the text files in the paths, sorted, without Python's caches."""
    for path in paths:
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            readable = one.suffix == ".py" or one.suffix in MARKED_TEXT
            if (
                one.is_file()
                and readable
                and "__pycache__" not in one.parts
                and not _is_left_out(one)
            ):
                yield one


def _is_left_out(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / name) for name in NOT_READ)


def advice_for(word: str) -> str:
    """Return what the style proposes in place of a word."""
    return next(
        better for form, better in REPLACEMENTS.items() if re.fullmatch(form, word, re.IGNORECASE)
    )


def findings(texts: Iterator[Text]) -> Iterator[str]:
    """Yield a line for each word to replace, except those that wording_allowed.txt allows."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    allowed = [line.split(": ", 1) for line in lines if ": " in line]
    for text in texts:
        if any(text.path == path and part in text.text for path, part in allowed):
            continue
        for match in PATTERN.finditer(text.text):
            word = match[0]
            yield f"{text.path}:{text.line}: {word!r}, better: {advice_for(word)}: {text.text}"


def main() -> int:
    """Print the texts, or the words found in them; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--list", action="store_true")
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    paths = [path.resolve() for path in options.paths] or [ROOT / name for name in READ_BY_DEFAULT]
    texts = (text for path in files_below(paths) for text in texts_of(path))
    if options.list:
        print(*texts, sep="\n")
        return 0
    found = list(findings(texts))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
