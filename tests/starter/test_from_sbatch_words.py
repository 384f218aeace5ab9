"""How an old sbatch script is read: directives, bash words, arguments, and runtime values."""

from __future__ import annotations

import subprocess

import pytest

from clusterrun.starter.from_sbatch.argument_mapping import as_mapping
from clusterrun.starter.from_sbatch.directives import read_directives
from tests.support.drafts import SHELL, flat, translated


@pytest.mark.parametrize(("line", "expected"), [
    ("#SBATCH --nodes=2", {"nodes": "2"}), ("#SBATCH --nodes 2", {"nodes": "2"}), ("#SBATCH -N 2", {"nodes": "2"}),
    ("#SBATCH -N2", {"nodes": "2"}), ("#SBATCH -p gpu -t 1-00 # why", {"partition": "gpu", "time": "1-00"}),
    ('#SBATCH --job-name="a b"', {"job-name": "a b"}), ("#SBATCH --job-name=a\\ b", {"job-name": "a b"}),
    ("#SBATCH --comment=a#b", {"comment": "a#b"}), ("#SBATCH --exclusive # alone", {"exclusive": True}),
    ("#SBATCH --exclusive=user", {"exclusive": "user"}), ("#SBATCH --nodel=n1", {"nodelist": "n1"}),
    ("#SBATCH\t--mem=4G\t--requeue", {"mem": "4G", "requeue": True}), ("##SBATCH --nodes=2", {}),
    ("# SBATCH --nodes=2", {}), ("  #SBATCH --nodes=2", {}), ("#SBATCH --no-such=1", {"no-such": "1"}),
])  # fmt: skip
def test_a_directive_in_each_of_its_forms(line, expected):
    """Each form of an sbatch option is read, and nothing else."""
    directives = read_directives(f"#!/bin/bash\n{line}\ntrue\n")
    assert {name: option.value for name, option in directives.options.items()} == expected


def test_directives_that_sbatch_ignores():
    """A directive after the first command is ignored, and the last of two counts."""
    directives = read_directives(
        "#!/bin/bash\n\n# a\n#SBATCH -N 1\n#SBATCH -N 3 word\nset -e\n#SBATCH -N 4\n"
    )
    assert directives.options["nodes"].value == "3"
    assert (directives.too_late, directives.unread) == ((7,), ((5, "word"),))


@pytest.mark.parametrize(("setup", "words", "expected"), [
    ("A=1", "--a $A", ["--a", "1"]),
    ("A='x y'", '--a "$A" $A', ["--a", "x y", "x", "y"]),
    ("A=(1 '2 3')", '"${A[@]}" ${#A[@]} ${A[1]}', ["1", "2 3", "2", "2", "3"]),
    ("A=1; A+=2", "$A", ["12"]),
    ("", "${NONE:-d} ${SCRATCH:-d}", ["d", "/scratch/alice"]),
    ("N=3", "$((N * 2 + 1)) $(( $N / 2 ))", ["7", "1"]),
    ("", r"a\ b 'c\d' "'"e\\$f"', ["a b", r"c\d", "e$f"]),
    ("", """"a"b'c'""", ["abc"]),
    ("", "~/x --y=~/x", ["/home/alice/x", "--y=~/x"]),
    ("A=a B=b", '"$A $B" "${A}_$B"', ["a b", "a_b"]),
    ("", "$SLURM_NNODES $SLURM_JOB_NUM_NODES $SLURM_CPUS_PER_TASK", ["2", "2", "3"]),
    ("", "a \\\n  b", ["a", "b"]),
])  # fmt: skip
def test_words_are_expanded_as_by_bash(setup, words, expected):
    """What is certain is resolved as by bash, which the test runs for comparison."""
    draft = translated(
        f"#!/bin/bash\n#SBATCH -N2 -c3\n{setup}\naccelerate launch train.py {words}\n"
    )
    given = draft.values.get("args", [])
    found = (
        [str(getattr(word, "text", word)) for word in given]
        if isinstance(given, list)
        else flat(given)
    )
    assert found == expected
    script = f"{setup}\nprintf '%s\\0' {words}"
    environment = {
        **SHELL,
        "SLURM_NNODES": "2",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "3",
    }
    printed = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split("\0")[:-1] == expected


@pytest.mark.parametrize(
    "late",
    [
        "$SLURM_JOB_ID",
        "${SLURM_JOB_ID:-99}",
        "${1:-x}",
        "$(date +%s)",
        "out-$RANDOM",
        "${X%.*}",
        "*.txt",
    ],
)
def test_values_known_only_to_the_job_are_kept(late):
    """Such a word is not guessed: the launch stays a command, as written, with a report."""
    draft = translated(
        f"#!/bin/bash\n#SBATCH -c2\nexport X\naccelerate launch train.py --out {late}\n"
    )
    assert "script" not in draft.values
    assert late in draft.values["command"]
    assert any("becomes a command" in note.message for note in draft.notes)


def test_a_variable_set_in_a_condition_is_unknown():
    """A variable assigned in a condition is unknown, and is passed on to the nodes."""
    draft = translated(
        "#!/bin/bash\n#SBATCH -c2\nR=\nif [ -d out ]; then R=--resume; fi\naccelerate launch t.py $R\n"
    )
    assert draft.values["command"] == "accelerate launch t.py $R"
    assert draft.values["environment"]["setup"][-1].endswith("fi\nexport R")


@pytest.mark.parametrize(("words", "expected"), [
    ("--a 1 --b", {"a": 1, "b": True}), ("--a 1 2", {"a": [1, 2]}), ("--a -1", None), ("--a=1", None),
    ("x --a", None), ("--a --b c --a", None), ("-a 1", None), ("--lr 3e-4", {"lr": 3e-4}), ("--a true", {"a": "true"}),
])  # fmt: skip
def test_arguments_become_a_mapping_only_if_it_gives_the_same_words(words, expected):
    assert as_mapping(words.split()) == expected


@pytest.mark.parametrize(("line", "script", "left_out"), [
    ("cat in.txt | accelerate launch train.py --lr 1", "train.py", ["`cat in.txt |`"]),
    ("accelerate launch train.py < in.txt > my.log 2>&1", "train.py", ["`< in.txt`", "`> my.log`"]),
    ("accelerate launch train.py 2>&1 | tee my.log", "train.py", []),
])  # fmt: skip
def test_commands_around_the_training_are_reported(line, script, left_out):
    """Its input and output redirections are dropped, with a report."""
    draft = translated(f"#!/bin/bash\n#SBATCH -N1\nset -euo pipefail\n{line}\n")
    assert draft.values["script"] == script
    reported = [
        note.message.partition(" removed")[0]
        for note in draft.notes
        if note.message.startswith("`")
    ]
    assert reported == left_out
