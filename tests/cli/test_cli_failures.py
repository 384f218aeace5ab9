"""Failures of the machine, and internal errors, on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from clusterrun import __version__, cli

SECRET = "hf_aVeryLongTokenThatNobodyMaySee"  # noqa: S105 - what must not be found


def test_a_closed_pipe_is_not_an_error(desk):
    """`clusterrun render job.yaml | head` ends without an error message."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "clusterrun", "render", "job.yaml"], stdout=writer, stderr=subprocess.PIPE,
                          text=True, env=desk.environment, cwd=desk.folder, check=False)  # fmt: skip
    os.close(writer)
    assert done.returncode == 141
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


def test_an_internal_error_is_one_line_and_a_file(desk):
    """An internal error exits with 3 and writes its traceback to the file that the message names."""
    desk.write(
        "import clusterrun.cli\nclusterrun.cli._run_command = lambda words: [].pop()\n",
        "sitecustomize.py",
    )
    done = desk.type("list", PYTHONPATH=f"{desk.folder}:{desk.environment['PYTHONPATH']}")
    assert (done.returncode, done.stdout) == (3, "")
    (log,) = (desk.folder / "tmp").iterdir()
    first, second = done.stderr.splitlines()
    assert first.startswith("clusterrun: internal error: IndexError: ")
    assert second == f"  hint: please report it and attach {log}"
    text = log.read_text()
    assert text.startswith(f"clusterrun {__version__}, Python ")
    assert "\nclusterrun list\n" in text
    assert "Traceback (most recent call last):" in text
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("render --set environment.variables.TOK=hunter2hunter2", "--set environment.variables.TOK=***"),
        ("render --set=args.x=hunter2hunter2", "--set=args.x=***"),
        ("submit --param pin=hunter2hunter2 --local", "--param pin=*** --local"),
        (f"init --from-sbatch a.sh -- --anything {SECRET}", "-- --anything ***"),
        ("init --from-sbatch a.sh -- --api-key hunter2hunter2", "-- --api-key ***"),
        ("init --from-sbatch a.sh -- --password=hunter2hunter2", "-- --password=***"),
        ("list --since 2d --name big-run", "--since 2d --name big-run"),
    ],
)  # fmt: skip
def test_a_report_has_no_secret(words, shown, monkeypatch, tmp_path, capsys):
    """Neither the command nor the message of the error, which people attach to public issues."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(_words):
        raise KeyError(f"{words} and https://me:pw@host/")

    monkeypatch.setattr(cli, "_run_command", fail)
    assert cli.main(words.split()) == 3
    (log,) = tmp_path.iterdir()
    text = log.read_text()
    assert text.splitlines()[1].endswith(f" {shown}")
    printed = text + capsys.readouterr().err
    for secret in ("hunter2", SECRET, "me:pw"):
        assert secret not in printed


@pytest.mark.parametrize(
    "words",
    ["list --json", "schema", "estimate --parameters 7B --gpus 8", "validate no.yaml --json"],
)
def test_a_full_disk_at_stdout_is_not_an_internal_error(desk, words):
    """The command stops at once, whatever it printed and whatever else was wrong."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "clusterrun", *words.split()], env=desk.environment, cwd=desk.folder,
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "o space left on device" in done.stderr
    assert not {"bug", "Traceback", "Exception"} & set(done.stderr.split())


def test_a_closed_stdout_is_not_an_error(desk):
    typed = ["bash", "-c", '"$@" >&-', "bash", sys.executable, "-m", "clusterrun", "schema"]
    done = subprocess.run(
        typed, env=desk.environment, cwd=desk.folder, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_working_folder_that_was_removed(desk):
    """The error names the missing working folder and nothing else."""
    typed = ["bash", "-c", 'PATH=/usr/bin:/bin; mkdir gone; cd gone; rmdir ../gone; "$@"', "bash"]
    words = [sys.executable, "-m", "clusterrun", "validate", "job.yaml"]
    done = subprocess.run(
        [*typed, *words],
        env=desk.environment,
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == "the working directory no longer exists\n  hint: cd to an existing directory\n"
    )


@pytest.mark.parametrize("words", [["list"], ["status"], ["submit", "job.yaml"]])
@pytest.mark.parametrize("place", [".local/state/clusterrun", ".local/state/clusterrun/runs"])
def test_a_file_in_place_of_the_index(desk, place, words):
    """Commands that need the index report what blocks its path, and a way out."""
    path = desk.home / place
    path.parent.mkdir(parents=True)
    path.write_text("not a folder")
    desk.command("sbatch", "exit 1")
    done = desk.type(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the index of your runs, {path}" in done.stderr
    assert "hint: fix or move that path" in done.stderr


def test_the_values_of_secrets_are_never_written(desk):
    """A secret's name is in the spec and the script; its value is in no file and no output."""
    desk.write("script: train.py\nenvironment: {secrets: [HF_TOKEN], variables: {A: 1}}\n")
    desk.command("sbatch", 'echo "Submitted batch job 7"')
    desk.command("srun", "exit 1")
    screens = []
    for words in (["validate"], ["render"], ["submit", "--dry-run"], ["submit", "--json"]):
        done = desk.type(*words, "job.yaml", HF_TOKEN=SECRET)
        assert done.returncode == 0, done.stderr
        screens += [done.stdout, done.stderr]
    run = Path(json.loads(screens[-2])["folder"])
    assert (run / "spec.yaml").read_text().count("HF_TOKEN") == 1
    assert "#SBATCH --export=HF_TOKEN\n" in (run / "job.sbatch").read_text()
    assert "  warn_of_missing_secret HF_TOKEN\n" in (run / "job.sbatch").read_text()
    files = [path for path in desk.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [text for text in screens if SECRET in text] == []
