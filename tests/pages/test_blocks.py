"""Every YAML block of the documentation is valid, and every command line in it is one that the program takes."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from clusterrun.cli import COMMANDS, _build_parser
from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request, prepare
from tests.support.page_blocks import PAGES, ROOT, Block, all_blocks

SPECS = list(all_blocks("yaml"))
TERMINALS = list(all_blocks("console", "bash", "", "text"))
RUNS = {"script", "module", "command"}
# What a block leaves out because its page is about something else.
REST = {"script": "train.py", "slurm": "{nodes: 2, gpus-per-node: 4, time: 1:00:00}"}


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the specs name."""
    for name in ("examples", "configs", "job_specs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("train.py", "evaluate.py"):
        (tmp_path / name).write_text("import accelerate\n")
    for name in (".venv", "venv"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "activate").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    monkeypatch.delenv("CLUSTERRUN_PROFILE", raising=False)
    return tmp_path


@pytest.mark.parametrize("block", SPECS, ids=lambda block: block.place)
def test_a_yaml_block_is_valid(block: Block, desk: Path) -> None:
    """A spec is valid; a part of one is valid together with a script; a profile is one under such a spec."""
    keys = yaml.safe_load(block.text)
    profile = "run_root" in keys
    text = "" if profile else block.text
    text += "".join(
        f"{key}: {value}\n" for key, value in REST.items() if key not in keys or profile
    )
    (desk / "job.yaml").write_text(block.text if RUNS & set(keys) else text)
    (desk / "profile.yaml").write_text(block.text if profile else "{}\n")
    unset = [name for name, value in (keys.get("parameters") or {}).items() if value is None]
    overrides = [f"parameters.{name}=value" for name in unset]
    try:
        prepare(Request("job.yaml", overrides, "profile.yaml" if profile else None))
    except SpecError as error:
        pytest.fail(f"{block.place}: {error}")


def commands(text: str) -> Iterator[str]:
    """Every call of clusterrun in shell text, up to the end of its words."""
    text = re.sub(r"\\\n\s*|#.*", " ", re.sub(r"\$\(git [^)]*\)", "X", text))
    for match in re.finditer(r"(?:^|[\s(])clusterrun ([^|;&>)\n]*)", text, re.MULTILINE):
        yield match[1]


def calls() -> Iterator[tuple[str, str]]:
    """Every call of clusterrun in a block of a terminal, with its place."""
    for block in TERMINALS:
        lines = [line for line, _ in block.typed()]
        if not lines and block.language in ("bash", ""):
            lines = [line for line in block.text.splitlines() if line.startswith("clusterrun ")]
        for line in lines:
            for words in commands(line):
                yield block.place, words


@pytest.mark.parametrize(
    ("place", "words"), [pytest.param(*call, id=" ".join(call)) for call in calls()]
)
def test_a_command_line_is_one_that_the_program_takes(place: str, words: str) -> None:
    """The real parser reads each command line of a block."""
    argv = shlex.split(words)
    try:
        _build_parser(argv).parse_args(argv)
    except SystemExit as leave:
        assert leave.code == 0, f"{place}: clusterrun {words}"  # noqa: PT017 - argparse exits with 2


def options_of(command: str) -> set[str]:
    """The options of a command."""
    for action in _build_parser([command])._actions:
        if isinstance(action, argparse._SubParsersAction):
            return set(action.choices[command]._option_string_actions)
    raise LookupError(command)


def mentions() -> Iterator[tuple[str, str]]:
    """Every `clusterrun COMMAND ...` in running text, with its page."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`((?:ssh [^`]*)?clusterrun [^`\n]+)`", text):
            yield page.name, code


@pytest.mark.parametrize(
    ("page", "code"), [pytest.param(*one, id=" ".join(one)) for one in dict.fromkeys(mentions())]
)
def test_a_command_that_is_mentioned_exists(page: str, code: str) -> None:
    """A command in running text exists, and has the options that it is shown with."""
    for words in commands(code):
        command, *rest = words.split()
        if command.startswith("-") or command.isupper():
            continue
        assert command in COMMANDS, code
        shown = {word.partition("=")[0].rstrip(".,'") for word in rest if word.startswith("-")}
        assert shown - {"-"} <= options_of(command), code


_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")


@pytest.mark.parametrize(
    "page", [*PAGES, *ROOT.glob("benchmarks/**/*.md"), ROOT / "CHANGELOG.md"], ids=str
)
def test_a_list_begins_after_an_empty_line(page: Path) -> None:
    """Python-Markdown, which makes the site, takes other lists for the paragraph before them."""
    text = re.sub(
        r"^(````?).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    lines = text.splitlines()
    wrong = [
        line for before, line in itertools.pairwise(lines)
        if _ITEM.match(line) and before.strip() and not _ITEM.match(before)
        and not before.startswith((" ", "#"))
    ]  # fmt: skip
    assert wrong == []


def quoted_headings() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return [
        code
        for line in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", line)
        if not code.startswith("submit")
    ]


@pytest.mark.parametrize("message", quoted_headings())
def test_a_message_that_is_a_heading_is_one_of_the_program(message: str) -> None:
    """Who searches the page for a message finds it as the program prints it, with `...` for values."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in (*ROOT.glob("clusterrun/**/*.py"), *ROOT.glob("templates/**/*.*"))
    ]
    assert any(all(part in text for part in message.split(" ... ")) for text in texts)


def variables() -> set[str]:
    """The variables of ours that pages name."""
    found = set()
    for page in PAGES:
        found |= set(re.findall(r"\bCLUSTERRUN_[A-Z_]+\b", page.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("variable", sorted(variables()))
def test_a_variable_that_is_named_exists(variable: str) -> None:
    """The program, the job script or the tests set or read each variable of a page."""
    places = (
        "clusterrun/**/*.py",
        "templates/**/*.*",
        "tests/conftest.py",
        "Makefile",
        "tests/pages/*.py",
    )
    sources = [path for place in places for path in ROOT.glob(place)]
    assert any(variable in path.read_text(encoding="utf-8") for path in sources)


@pytest.mark.parametrize("block", list(all_blocks("console")), ids=lambda block: block.place)
def test_a_terminal_is_run_or_recorded_or_has_a_reason(block: Block) -> None:
    """A block without a marker is run by test_outputs.py; the others name their recording or the reason."""
    assert block.typed(), f"{block.place}: no line begins with `$ `; use ```text"
    assert block.marker in ("", "not run", "recorded")
    assert bool(block.marker) == bool(block.words)
