"""Old sbatch scripts and the draft specs made of them."""

from __future__ import annotations

from pathlib import Path

from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.translate import translate

FOLDER = Path(__file__).parents[1] / "sbatch_scripts"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.sh"))
SHELL = {
    "HOME": "/home/alice",
    "USER": "alice",
    "SCRATCH": "/scratch/alice",
    "PWD": "/home/alice/project",
}


def translated(text: str, files: dict[str, str] | None = None, **shell: str) -> Draft:
    return translate("old.sh", text, shell=SHELL | shell, read_file=(files or {}).get)


def draft_of(name: str) -> Draft:
    return translated((FOLDER / f"{name}.sh").read_text())


def mistakes_of(draft: Draft) -> list[tuple[int, str]]:
    return sorted((int(one.where.rpartition(":")[2]), one.key) for one in draft.mistakes)


def names_of(text: str) -> set[str]:
    return {name for _, name in mistakes_of(translated(text))}


def flat(args: dict[str, object]) -> list[str]:
    words = []
    for name, value in args.items():
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [f"--{name}", *(str(getattr(one, "text", one)) for one in values)]
    return words
