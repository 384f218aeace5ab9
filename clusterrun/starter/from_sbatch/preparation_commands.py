"""Commands that prepare the shell: modules, virtual environments, folders, traps and options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from clusterrun.quoting import quote
from clusterrun.starter.from_sbatch.facts import Facts, Kept
from clusterrun.starter.from_sbatch.more_mistakes import CONDA_INIT, SCRIPT_FOLDER
from clusterrun.starter.from_sbatch.words import Scope, Word

# Where the job script itself looks for conda (templates/functions/30-environment.sh).
# These commands only print, and change nothing.
PRINTING = frozenset(
    "echo printf date hostname pwd whoami nvidia-smi printenv env which lscpu free df"
    " uname clear sleep".split()
)
_CONDA = ("conda", "mamba", "micromamba")
_LOADS = frozenset({"load", "add"})


def note_command(facts: Facts, scope: Scope, words: Sequence[Word], text: str, line: int) -> bool:
    """Record a command that prepares the shell; return False for other commands."""
    texts = [word.text for word in words]
    known = all(word.known for word in words)
    name = texts[0] if texts else ""
    if name in ("module", "ml"):
        _note_module(facts, texts, text, line, known=known)
    elif name in ("source", "."):
        _note_source(facts, scope, texts, text, line, known=known)
    elif name in _CONDA and texts[1:2] == ["activate"]:
        _note_conda(facts, texts[2:], text, line, known=known)
    elif name in ("cd", "pushd") and not SCRIPT_FOLDER.search(text):
        _note_folder(facts, scope, texts[1:], text, line, known=known)
    else:
        return _note_other(facts, name, texts, text, line)
    return True


def _note_other(facts: Facts, name: str, texts: Sequence[str], text: str, line: int) -> bool:
    """Record a command without a key in a spec, which the job script handles itself."""
    if name == "set":
        strict = any(re.fullmatch(r"-[a-z]*e[a-z]*", word) for word in texts[1:])
        facts.strict = facts.strict or strict or "errexit" in texts
    elif name == "trap":
        facts.traps.append((line, text))
    elif name == "wait":
        facts.waits.append(line)
    elif texts[:2] == ["scontrol", "requeue"]:
        facts.requeues = facts.requeues or line
    else:
        if CONDA_INIT.match(text) or (name == "cd" and SCRIPT_FOLDER.search(text)):
            return True  # reported as a mistake
        # a job inherits nothing of the submitting shell, and use_conda defines `conda`
        hook = name == "eval" and re.search(r"(conda|mamba)\b.*\bhook", text)
        is_deactivation = name in ("deactivate", *_CONDA) and texts[-1:] == ["deactivate"]
        return bool(hook or is_deactivation or name in ("exit", "true", ":"))
    return True


def _keep_line(facts: Facts, text: str, line: int, *, first: bool = False) -> None:
    facts.kept.append(Kept(line, text, first=first))


def _comes_first(facts: Facts) -> bool:
    """Return whether nothing before this line depends on the order of the environment's keys."""
    selected = facts.purge or facts.module_folders or facts.modules or facts.venv or facts.conda
    return not (selected or facts.variables or _keeps_order(facts))


def _note_module(facts: Facts, texts: Sequence[str], text: str, line: int, *, known: bool) -> None:
    words = [word for word in texts[1:] if not word.startswith("-")]
    if (
        texts[0] == "ml"
        and words
        and words[0] not in _LOADS | {"purge", "list", "use", "unload", "avail", "reset"}
    ):
        words = ["load", *words]
    in_order = _keeps_order(facts)
    if words == ["purge"] and not (in_order or facts.modules or facts.module_folders):
        facts.purge = facts.purge or line
    if not words or words[0] in ("purge", "list", "avail", "reset"):
        return  # a job starts without modules
    plain = known and not any(word.startswith("-") for word in texts[1:])
    if words[0] == "use" and plain and not (in_order or facts.modules):
        facts.module_folders += [(line, word) for word in words[1:]]
        return
    if (
        words[0] in _LOADS
        and known
        and not in_order
        and not any(word.startswith("-") for word in words)
    ):
        facts.modules += [(line, word) for word in words[1:]]
        return
    if not in_order and not facts.modules:
        _keep_line(facts, "find_modules", line)
    _keep_line(facts, f"module {text.partition(' ')[2]}", line)


def _keeps_order(facts: Facts) -> bool:
    """Return whether modules or sourced files are kept as lines, so that what follows is, too."""
    openers = ("module ", "source ", ". ", "eval ")
    return any(kept.text.startswith(openers) and not kept.first for kept in facts.kept)


def _note_source(
    facts: Facts, scope: Scope, texts: Sequence[str], text: str, line: int, *, known: bool
) -> None:
    path = PurePosixPath(texts[1]) if len(texts) > 1 else PurePosixPath()
    if known and path.name == "activate" and (len(texts) > 2 or str(path) == "activate"):
        _note_conda(facts, texts[2:], text, line, known=known)
    elif known and path.name == "activate" and path.parent.name == "bin" and _keeps_order(facts):
        _keep_line(facts, f"use_venv {quote(path.parent.parent)}", line)
    elif known and path.name == "activate" and path.parent.name == "bin":
        facts.venv, facts.conda = (line, str(path.parent.parent)), None
    elif _is_conda_script(path, facts, known=known) and not _keeps_order(facts):
        facts.conda_line = (line, text, str(path.parents[2]) if known else "")
    elif path.name in (".bashrc", ".bash_profile", ".profile", "profile") and known:
        _keep_line(facts, f"{text} || :", line, first=_comes_first(facts))
        scope.is_open = True
    else:
        _keep_line(facts, text, line, first=_comes_first(facts))
        scope.is_open = True


def _is_conda_script(path: PurePosixPath, facts: Facts, *, known: bool) -> bool:
    """Return whether a sourced file is conda's: by its place, or by `conda info --base`."""
    if path.parts[-3:] != ("etc", "profile.d", "conda.sh"):
        return False
    return path.is_absolute() if known else "conda info --base" in facts.text


def _note_conda(facts: Facts, names: Sequence[str], text: str, line: int, *, known: bool) -> None:
    if len(names) == 1 and known and _keeps_order(facts):
        _keep_line(facts, f"use_conda {quote(names[0])}", line)
        return
    by_hand = any("conda" in kept.text and not kept.soft for kept in facts.kept)
    if len(names) == 1 and known and not by_hand:
        facts.conda, facts.venv = (line, names[0]), None
        facts.conda_base = facts.conda_line[2] if facts.conda_line else ""
    else:
        if facts.conda_line is not None:
            _keep_line(facts, facts.conda_line[1], facts.conda_line[0])
            facts.conda_line = None
        _keep_line(facts, text, line)


def _note_folder(
    facts: Facts, scope: Scope, names: Sequence[str], text: str, line: int, *, known: bool
) -> None:
    if len(names) != 1 or not known:
        _keep_line(facts, text, line)
    elif names[0] not in (".", "./"):
        base = facts.folder[1] if facts.folder else ""
        facts.folder = (line, str(PurePosixPath(base) / names[0]))
        submission = PurePosixPath(scope.shell.get("PWD", "."))
        scope.values["PWD"] = Word((str(submission / facts.folder[1]),), line)
        if facts.venv and not facts.started and not PurePosixPath(facts.venv[1]).is_absolute():
            here = scope.look("SLURM_SUBMIT_DIR")
            above = str(PurePosixPath(scope.shell.get("PWD", "."))) if here else "."
            facts.venv = (facts.venv[0], str(PurePosixPath(above) / facts.venv[1]))
