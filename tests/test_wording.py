"""The check of the texts' wording finds the words that the style replaces, wherever people read them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "wording.py"


@pytest.fixture(scope="module")
def wording():
    """Return the script as a module; tools/ is not a package."""
    spec = importlib.util.spec_from_file_location("wording", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["wording"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["wording"]


@pytest.fixture
def find(wording, tmp_path):
    """Return a function that writes a text into a file and returns `line: 'word'` of each finding."""

    def check(text: str, name: str = "code.py") -> list[str]:
        (tmp_path / name).write_text(text)
        lines = wording.findings(wording.texts_of(tmp_path / name))
        return [line.removeprefix(f"{tmp_path / name}:").split(", better")[0] for line in lines]

    return check


@pytest.mark.parametrize(
    "word",
    [
        "stands", "beside", "amid", "anew", "in vain", "all the same", "the like", "otherwise than",
        "so many", "goes on", "going on", "came back", "told", "said", "hears", "is no number",
        "there is none", "the trainers", "begun", "mended", "to be had", "spoilt", "passing over",
        "where it is given", "of its own accord", "no more", "lies", "is wanted", "whence", "Beside",
    ],
)  # fmt: skip
def test_each_word_is_found_in_every_kind_of_text(find, word):
    """Messages, docstrings of functions and attributes, comments and Markdown are read."""
    assert find(f'print("a run {word} here")\n') == [f"1: {word!r}"]
    assert find(f'def f():\n    """Return a run that\n    {word} here."""\n') == [f"2: {word!r}"]
    assert find(f'class A:\n    x: int\n    """What {word} is."""\n') == [f"3: {word!r}"]
    assert find(f"x = 1  # a run {word} here\n") == [f"1: {word!r}"]
    assert find(f"# A title\n\nA run {word} here.\n", "page.md") == [f"3: {word!r}"]
    assert find(f"# a run {word} here\ntrue\n", "run.sh") == [f"1: {word!r}"]


def test_a_phrase_on_two_lines_is_found(find):
    """A line break in a comment or a string hides no phrase."""
    assert find('x = 1\n# the run goes\n# on in a new job\ny = "a run goes "\\\n  "on"\n') == [
        "2: 'goes on'",
        "4: 'goes on'",
    ]


def test_the_words_of_an_f_string_are_read(find):
    """Also between its placeholders, and once only; names in quotes are not words."""
    assert find("message = f\"{name} said {value!r}: {', '.join(x)} lies\"\n") == [
        "1: 'said'",
        "1: 'lies'",
    ]
    assert find('kind = {"beside": 1, f"{x}": 2}\n') == []


@pytest.mark.parametrize(
    "text",
    [
        "Slurm no longer knows the job", "no more than 3 files", "the backend is no longer needed",
        "the understanding of a standard", "it believes", "the run continues", "an amide", "there is no run",
        "a trainer", "the Trainer's own checkpoints",
    ],
)  # fmt: skip
def test_correct_english_passes(find, text):
    """The words are whole ones, and common phrases that contain them are not findings."""
    assert find(f'print("{text}")\n') == []


def test_allowed_texts_pass(wording, find, tmp_path, monkeypatch):
    """An allowed text passes in its file only, and only where it appears."""
    allowed = tmp_path / "allowed.txt"
    allowed.write_text(f"# comments are ignored\n{tmp_path}/code.py: the word beside\n")
    monkeypatch.setattr(wording, "ALLOWED", allowed)
    assert find("# the word beside\n") == []
    assert find("# beside it\n") == ["1: 'beside'"]
    assert find("# the word beside\n", "other.py") == ["1: 'beside'"]


def test_the_exit_code_is_1_if_a_word_is_found(tmp_path):
    """It is 1 if a word is found, which is printed with its place and advice, and otherwise 0."""
    page = tmp_path / "page.md"
    for text, code, printed in (
        ("A run continues.\n", 0, ""),
        ("It said no.\n", 1, f"{page}:1: 'said', better: reported, printed, wrote: It said no.\n"),
    ):
        page.write_text(text)
        done = subprocess.run(
            [sys.executable, SCRIPT, page], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, printed, "")
