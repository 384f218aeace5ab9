"""A refused translation: the mistakes of the old script come first, and lines are those of it."""

from __future__ import annotations

import pytest

from clusterrun.errors import SpecError
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.oracle import proof
from clusterrun.starter.oracle.before_training import compare_before
from clusterrun.starter.oracle.events import CannotRecordError
from clusterrun.starter.oracle.steps import Cluster, Step
from clusterrun.starter.sbatch import from_sbatch
from tests.support.drafts import translated

SECRET = "hf_thisTokenIsOnlyForTests0123456789"  # noqa: S105 - no password
HEAD = f"#!/bin/bash\n#SBATCH -N2 --gpus-per-node=2 --ntasks-per-node=1 -t 24\nexport HF_TOKEN={SECRET}\n"


@pytest.mark.parametrize("text", [
    HEAD + "srun torchrun a.py\nsrun torchrun b.py\n",  # refused
    HEAD + "srun ./program $1\n",  # its argument is not known
])  # fmt: skip
def test_the_mistakes_come_first(text):
    """A user learns of all mistakes, although no spec is written; secrets are hidden in both."""
    with pytest.raises(SpecError) as caught:
        translated(text)
    shown = str(caught.value)
    heading, mistakes, title, refusal = shown.split("\n\n")
    assert heading.endswith("mistakes in the old script:")
    assert title == "No spec was written:"
    assert "old.sh:2: time: sbatch reads --time=24 as 24 minutes" in mistakes
    assert "old.sh:3: secret: the value of HF_TOKEN" in mistakes
    assert "hint: fixed:" not in mistakes
    assert refusal.startswith("old.sh:4: ")
    assert SECRET not in shown


def test_a_failed_check_shows_the_mistakes_too(tmp_path, monkeypatch):
    """The spec that would start something else is not written."""
    old = HEAD + "srun torchrun --nproc_per_node 2 t.py --x {}\n"
    monkeypatch.setattr(
        "clusterrun.starter.sbatch.translate", lambda *_, **__: translated(old.format(2))
    )
    path = tmp_path / "old.sh"
    path.write_text(old.format(1))
    with pytest.raises(SpecError) as caught:
        from_sbatch(path, environment={}, cwd=tmp_path)
    mistakes, _, refusal = str(caught.value).partition("No spec was written:")
    assert "old.sh:2: time: " in mistakes
    assert "check: the spec would not start the same as the script" in refusal


def test_no_line_of_the_generated_script_is_named(monkeypatch):
    """It is a script that the user has not seen."""
    step = Step(417, 0, ("nvidia-smi",), "/", {})
    (found,) = compare_before([], [step])
    assert (found.line, found.what) == (0, "`nvidia-smi` is started before the training")

    def refuse(*_: object) -> None:
        raise CannotRecordError("line 417: syntax error near unexpected token")

    monkeypatch.setattr(proof, "steps_of", refuse)
    with pytest.raises(CannotRecordError, match=r"^the new job script cannot be recorded: syntax"):
        proof._steps_of_new_script("", {}, "/", Cluster(1, 1, 0))


def test_without_mistakes_only_the_refusal_is_shown():
    """There is no empty list."""
    with pytest.raises(SpecError) as caught:
        translated("#!/bin/bash\necho nothing\n")
    assert "mistake" not in str(caught.value)
    assert Draft().mistakes == []
