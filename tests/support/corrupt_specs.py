"""Put hostile values into job specs, validate them, and report what a user would call our error."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import random
import signal
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from clusterrun import cli
from tests.support.hostile_values import VALUES

JOB_SPECS = sorted((Path(__file__).parents[2] / "job_specs").glob("*.yaml"))
MAX_SECONDS = 20
SCALARS: tuple[Any, ...] = (
    *VALUES.values(),
    float("inf"), float("-inf"), float("nan"), 1e308, -1, 0, 2**63, 10**30, True, None, "", " ",
    [], {}, [[]], {"a": {"b": "c"}}, "9" * 5000, "1" * 400 + "h", "12h", "0:0:0", "-0", "1e400",
    "\u0661\u0662", "\x07", "\ud800", "x" * 5000, "../" * 500, "a\nb", "no", "~", "{run_dir}", "{",
    "-.INF", ".NaN", "USR1@99999999999999999999", "gpu:" + "9" * 500, "fifo", "/dev/zero",
)  # fmt: skip
TEXTS = (
    "-.INF", ".INF", ".NAN", "9" * 4000 + "h", "!!python/object:os.system x", "&a [*a]", "*b",
    "{a: b", "[", "]", "'", '"', "|", ">", "? x", "- - -", "%TAG", "@", "`", "\t", "\x00", "\ufeff",
    "!!binary x", "!!set {a}", "0o7", "0x" + "f" * 400, "12:00:00", "2026-11-30", "<<: 1", "=",
)  # fmt: skip


def mutated_specs(seed: int) -> Iterator[str]:
    """Yield job specs, each with one to three values, lines or bytes replaced; without end."""
    dice = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in JOB_SPECS]
    while True:
        text = dice.choice(texts)
        for _ in range(dice.randint(1, 3)):
            text = dice.choice((_replace_value, _replace_line, _replace_bytes))(text, dice)
        yield text


def _replace_value(text: str, dice: random.Random) -> str:
    """Replace the value of one key, whatever its kind."""
    try:
        document = copy.deepcopy(yaml.safe_load(text))
        places = list(_places(document))
    except (yaml.YAMLError, ValueError, RecursionError):  # an alias of its parent, for example
        return text
    if not places:
        return text
    holder, key = dice.choice(places)
    holder[key] = dice.choice(SCALARS)
    try:
        return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, UnicodeError):
        return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _replace_line(text: str, dice: random.Random) -> str:
    """Replace the text after the colon of one line, or duplicate, indent or remove the line."""
    lines = text.splitlines()
    if not lines:
        return text
    number = dice.randrange(len(lines))
    key, colon, _ = lines[number].partition(":")
    lines[number : number + 1] = dice.choice(
        (
            [f"{key}{colon} {dice.choice(TEXTS)}"],
            [lines[number]] * 2,
            [f"  {lines[number]}"],
            [],
            [dice.choice(TEXTS)],
        )
    )
    return "\n".join(lines) + "\n"


def _replace_bytes(text: str, dice: random.Random) -> str:
    """Replace a few characters at a random place."""
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(TEXTS) + text[at + dice.randint(0, 10) :]


def find_faults(folder: Path, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Validate `count` mutated specs; yield each that ends with an internal error, and the error."""
    fifo = folder / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo)
    for text in islice(mutated_specs(seed), count):
        if fault := find_fault(folder, text):
            yield text, fault


def find_fault(folder: Path, text: str) -> str:
    """Validate a spec in a folder and describe what is wrong with the result; empty if nothing is.

    The folder may hold a FIFO called `fifo`, which a spec then names.
    """
    file = folder / "job.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    code, shown = _validate(folder, file)
    if code not in (0, 2):
        return f"exit code {code}: {shown[-3000:]}"
    escaped = next((sign for sign in shown if sign < " " and sign not in "\t\n\r"), "")
    return f"prints {escaped!r}: {shown[:1000]!r}" if escaped else ""


def _validate(folder: Path, file: Path) -> tuple[object, str]:
    output, where = io.StringIO(), Path.cwd()
    os.chdir(folder)
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(MAX_SECONDS)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return cli.main(["validate", str(file)]), output.getvalue()
    except BaseException:  # noqa: BLE001 - nothing may pass the one boundary of the command line
        return "a traceback", traceback.format_exc()
    finally:
        signal.alarm(0)
        os.chdir(where)


class _HangError(BaseException):
    """A command that exceeds the time limit."""


def _too_late(*_: object) -> None:
    raise _HangError
