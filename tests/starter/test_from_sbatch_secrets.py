"""A secret of an old script is in no spec, comment or message."""

from __future__ import annotations

import pytest

from clusterrun.job_spec.writing import write_spec
from tests.support.drafts import SCRIPTS, draft_of, translated

# Values that are in the scripts, and may be nowhere else.
SECRETS = ("0123456789abcdef0123456789abcdef01234567", "hf_thisTokenIsOnlyForTests0123456789",
           "hf_anotherTokenOnlyForTests99887766", "89abcdef0123456789abcdef0123456789abcdef",
           "sk-onlyForTests-0123456789abcdef", "correct-horse")  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_secret_is_written_or_printed(name):
    """A secret's value is in no spec and in no message."""
    draft = draft_of(name)
    output = "\n".join(
        [write_spec(draft.values, draft.comments), *map(str, [*draft.mistakes, *draft.notes])]
    )
    assert [value for value in SECRETS if value in output] == []


@pytest.mark.parametrize(("words", "form", "expected"), [
    ("--hub_token hf_onlyForTests0123456789 --b", "args", {"b": True}),
    ("--hub_token=hf_onlyForTests0123456789 --b", "args", {"b": True}),
    ("--hub_token $HF_TOKEN --b", "args", {"b": True}),
    ('--hub_token="$HF_TOKEN" --b', "args", {"b": True}),
    ("--x hf_onlyForTests0123456789", "command", 'accelerate launch t.py --x "${HF_TOKEN}"'),
    ("--u 'a b@hf_onlyForTests0123456789:c'", "command", "accelerate launch t.py --u 'a b@'\"${HF_TOKEN}\":c"),
])  # fmt: skip
def test_a_secret_among_the_arguments(words, form, expected):
    """A named secret is omitted with a report; otherwise the command reads it from the environment."""
    text = f"#!/bin/bash\naccelerate launch t.py {words}\n"
    draft = translated(text, HF_TOKEN="aSecretOfTheShell")  # noqa: S106
    assert "aSecretOfTheShell" not in str(draft)
    assert draft.values[form] == expected
    assert draft.values["environment"]["secrets"] == ["HF_TOKEN"]
    assert any(
        " removed: read " in note.message or "becomes a command" in note.message
        for note in draft.notes
    )


@pytest.mark.parametrize("line", [
    "python t.py --x $T", "python t.py --x=$T-$SLURM_JOB_ID", "accelerate launch t.py --x $T", "accelerate launch t.py --x=$T",
    "accelerate launch t.py $T", "accelerate launch t.py --url https://$T@host/$SLURM_JOB_ID", "cd /data/$T; python t.py",
    "source $T/bin/activate; python t.py", "module load $T; python t.py", "export URL=https://u:$T@host; python t.py",
    "curl -H 'Bearer secretvalue99' x; python t.py", 'srun bash -c "export A=$T; python t.py"', "ARGS=(--a $T); python t.py ${ARGS[@]}",
    "accelerate launch --main_training_function $T t.py", "python t.py <<< $T", "if true; then python t.py $T; fi", "echo $T > f; python t.py",
])  # fmt: skip
def test_a_secret_in_any_word_is_never_copied(line):
    """However its value gets into a word, it is in no value, comment or message."""
    nodes = 1 if line.startswith("if") else 2
    draft = translated(
        f"#!/bin/bash\n#SBATCH -J j -N{nodes}\nexport MY_TOKEN=secretvalue99\nT=$MY_TOKEN\n{line}\n"
    )
    output = "\n".join(
        [write_spec(draft.values, draft.comments), *map(str, [*draft.mistakes, *draft.notes])]
    )
    assert "secretvalue99" not in output
    assert "MY_TOKEN" in draft.values["environment"]["secrets"]


def test_a_script_is_never_run(tmp_path):
    """Nothing in the script is executed."""
    mark = tmp_path / "ran"
    translated(
        f"#!/bin/bash\n#SBATCH -N1\ntouch {mark}\nX=$(touch {mark})\naccelerate launch `touch {mark}` t.py $X\n"
    )
    assert not mark.exists()
