"""The scripts of tests/sbatch_scripts in the styles that people publish, and what becomes of each."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import SpecError
from clusterrun.job_spec.writing import write_spec
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.translate import translate
from clusterrun.starter.oracle.proof import Proof, prove
from tests.support.drafts import FOLDER, SHELL

PATHS = sorted(
    [*FOLDER.glob("*.sh"), *(FOLDER / "styles").glob("*.sh")], key=lambda path: path.stem
)


@dataclass(frozen=True)
class Outcome:
    """What becomes of a script: a draft and its proof, or a refusal."""

    path: Path
    draft: Draft | None
    refusal: str
    proof: Proof | None

    @property
    def text(self) -> str:
        """The spec, or the messages of the refusal."""
        if self.draft is None:
            return self.refusal + "\n"
        return write_spec(self.draft.values, self.draft.comments)

    @property
    def lines(self) -> int:
        """The script's lines that say something."""
        lines = self.path.read_text().splitlines()[1:]
        return sum(
            bool(line.strip()) and (line.startswith("#SBATCH") or not line.lstrip().startswith("#"))
            for line in lines
        )

    @property
    def raw_lines(self) -> int:
        """The spec's lines that are kept shell."""
        if self.draft is None:
            return 0
        environment = self.draft.values.get("environment") or {}
        keys = ("setup_first", "setup", "setup_each_node")
        kept = [text for key in keys for text in environment.get(key, ())]
        texts = [*kept, self.draft.values.get("command", "")]
        return sum(len(text.replace("\\\n", " ").splitlines()) for text in texts)


@functools.cache
def outcome_of(path: Path) -> Outcome:
    """Translate a script, and prove the translation."""
    text = path.read_text()
    files = {one.name: one.read_text() for one in (FOLDER / "styles").glob("*.py")}
    try:
        draft = translate(path.name, text, shell=SHELL, read_file=files.get)
    except SpecError as error:
        return Outcome(path, None, str(error), None)
    return Outcome(path, draft, "", prove(text, draft, shell=SHELL, read_file=files.get))
