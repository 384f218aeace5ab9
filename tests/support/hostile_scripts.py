"""What a script made from a hostile value must contain."""

from __future__ import annotations

from typing import Any

from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.script import render
from tests.support.bash_functions import run_script
from tests.support.hostile_cases import BASE, Case, nested


def sbatch_options(script: str) -> list[tuple[str, str | None]]:
    """Read #SBATCH lines as sbatch does, up to the first command (_get_argument in opt.c)."""
    found: list[tuple[str, str | None]] = []
    for line in script.split("\n"):
        if line and not line.startswith("#"):
            break
        if line.startswith("#SBATCH"):
            (word,) = sbatch_words(line.removeprefix("#SBATCH"))
            name, equals, value = word.removeprefix("--").partition("=")
            found.append((name, value if equals else None))
    return found


def sbatch_words(line: str) -> list[str]:
    """Split a line as sbatch does: a backslash always escapes, quotes keep spaces, # is a comment."""
    words: list[str] = []
    word, quoting, escaped, inside = "", "", False, False
    for character in line:
        if escaped:
            word, escaped = word + character, False
        elif character == "\\":
            escaped = inside = True
        elif quoting:
            quoting, word = ("", word) if character == quoting else (quoting, word + character)
        elif character in "'\"":
            quoting, inside = character, True
        elif character == "#":
            break
        elif character.isspace():
            words, word, inside = ([*words, word] if inside else words), "", False
        else:
            word, inside = word + character, True
    assert not quoting
    return [*words, word] if inside else words


def intended(case: Case, plan: LaunchPlan) -> dict[str, str | None]:
    """The options that the script should pass to sbatch, derived from the fields alone."""
    tree = nested({**BASE, **case.fields}, case.value)
    slurm = tree["slurm"]
    extra = {
        key.replace("_", "-"): item for key, item in slurm.pop("additional_parameters", {}).items()
    }
    slurm.pop("chdir", None)
    return {
        "signal": "USR1@120", **{key: str(item) for key, item in (slurm | extra).items()}, "job-name": tree["name"],
        "ntasks-per-node": "1", "chdir": plan.chdir, "open-mode": "append", "requeue": None,
        "export": ",".join(tree.get("environment", {}).get("secrets", [])) or "NIL",
    }  # fmt: skip


def check_text(case: Case, plan: LaunchPlan) -> str:
    """Check that bash parses the script, and that sbatch reads the intended options from it."""
    script = render(plan)
    answer = run_script(script, "-n")
    assert (answer.returncode, answer.stderr) == (0, b"")
    options = sbatch_options(script)
    assert dict(options) == intended(case, plan)
    assert len(options) == len(dict(options))
    return script


def command_line(tree: dict[str, Any]) -> list[str]:
    """The words after accelerate's own flags, by the documented rules for args."""
    words = ["--module", tree["module"]] if "module" in tree else [tree.get("script", "train.py")]
    if isinstance(tree.get("args"), list):
        return words + tree["args"]
    for key, item in tree.get("args", {}).items():
        flag = key if key.startswith("-") else f"--{key}"
        if isinstance(item, str) and item.startswith("-"):
            words.append(f"{flag}={item}")
        else:
            words += [flag, *(item if isinstance(item, list) else [item])]
    return words
