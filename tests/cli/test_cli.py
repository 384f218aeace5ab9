"""The command line in real processes, on a machine without Slurm."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun import __version__, cli

SECRET = "hf_aVeryLongTokenThatNobodyMaySee"  # noqa: S105 - what must not be found


def test_the_version_and_the_help(desk):
    """Help and version go to stdout; without a command the help is shown."""
    assert desk.type("--version").stdout == f"clusterrun {__version__}\n"
    shown = desk.type("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f"    {name} " in shown.stdout for name in cli.COMMANDS)
    assert desk.type().stdout == shown.stdout


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("staus", "did you mean status?"),
        ("sumbit", "did you mean submit?"),
        ("log", "did you mean logs?"),
        ("frobnicate", "see `clusterrun --help` for all commands"),
    ],
)
def test_an_unknown_command_gets_a_proposal(capsys, typed, hint):
    """A mistyped command gets one line with a hint, not a list of all commands."""
    with pytest.raises(SystemExit) as left:
        cli.main([typed, "job.yaml"])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"'{typed}' is not a clusterrun command\n  hint: {hint}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(desk, command):
    """The help of each command says what it does, and explains each of its options."""
    shown = desk.type(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert cli.COMMANDS[command] in shown.stdout
    assert shown.stdout.startswith(f"usage: clusterrun {command} ")
    parser = cli._build_parser([command])
    (commands,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    silent = [
        action.option_strings
        for action in commands.choices[command]._actions
        if action.option_strings and not action.help
    ]
    assert silent == []
    assert all(
        option in shown.stdout
        for action in commands.choices[command]._actions
        for option in action.option_strings
    )


@pytest.mark.parametrize(
    "words", [["render"], ["render", "job.yaml", "--nodes=2"], ["status", "--jsn"]]
)
def test_an_invalid_command_line_exits_with_2(desk, words):
    """An unknown command or option, or a missing argument, exits with 2 and prints the usage."""
    done = desk.type(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: clusterrun")


def test_validate_shows_what_would_run(desk):
    """A valid spec exits with 0; the text is for people, so stdout stays empty."""
    desk.write("script: train.py\nname: tiny\nslurm: {nodes: 2, gpus-per-node: 4}\n")
    done = desk.type("validate", "job.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"note: environment: not set in the spec; using the active Python, {desk.folder}/venv\n"
        "job.yaml: valid: tiny, 2 nodes, one process per GPU that Slurm allocates\n"
    )


@pytest.mark.parametrize("command", ["validate", "render", "submit"])
def test_a_wrong_spec_exits_with_2(desk, command):
    """Every command that takes a spec reports its errors on stderr and does nothing."""
    desk.write("script: train.py\nslurm: {gpus-per-nod: 4}\n")
    done = desk.type(command, "job.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "job.yaml:2: slurm.gpus-per-nod: unknown key\n  hint: did you mean gpus-per-node?\n"
    )
    assert list(desk.home.iterdir()) == []


def test_validate_and_submit_look_for_files_and_render_only_warns(desk):
    """A script can be rendered if its files are missing, but it cannot be submitted."""
    desk.write("script: gone.py\n")
    mistake = f"job.yaml:1: script: file not found: {desk.folder}/gone.py\n"
    for command in ("validate", "submit"):
        done = desk.type(command, "job.yaml")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(mistake)
    done = desk.type("render", "job.yaml")
    assert done.returncode == 0
    assert f"warning: {mistake}" in done.stderr
    assert done.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=job\n")
    assert done.stdout.endswith('\nmain "$@"\n')


def test_render_prints_the_script_alone(desk):
    """`clusterrun render job.yaml | sbatch` works: stdout is exactly the script."""
    script = desk.type("render", "job.yaml", "--set", "slurm.nodes=3", "--set", "name=tiny").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.splitlines()[1:3] == ["#SBATCH --job-name=tiny", "#SBATCH --nodes=3"]


def test_a_closed_pipe_is_not_an_error(desk):
    """`clusterrun render job.yaml | head` ends without an error message."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "clusterrun", "render", "job.yaml"], stdout=writer, stderr=subprocess.PIPE,
                          text=True, env=desk.environment, cwd=desk.folder, check=False)  # fmt: skip
    os.close(writer)
    assert done.returncode == 141
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


def test_profiles_are_found_and_can_be_left_out(desk):
    """--profile overrides CLUSTERRUN_PROFILE, which overrides the user's own; '' means none."""
    own = desk.home / ".config" / "clusterrun" / "profile.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("slurm: {partition: own}\n")
    for name in ("variable", "option"):
        desk.write(f"slurm: {{partition: {name}}}\n", f"{name}.yaml")

    def partition(*words: str, **environment: str) -> list[str]:
        script = desk.type("render", "job.yaml", *words, **environment).stdout
        return [
            line.partition("=")[2]
            for line in script.splitlines()
            if line.startswith("#SBATCH --partition=")
        ]

    assert partition() == ["own"]
    assert partition(CLUSTERRUN_PROFILE="variable.yaml") == ["variable"]
    assert partition("--profile", "option.yaml", CLUSTERRUN_PROFILE="variable.yaml") == ["option"]
    assert partition(CLUSTERRUN_PROFILE="") == []
    done = desk.type("render", "job.yaml", "--profile", "gone.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "--profile: no such profile: gone.yaml\n  hint: give the path of a YAML file\n"
    )


def test_submit_without_slurm_suggests_local(desk):
    """If sbatch is not installed, submit suggests --local and leaves nothing behind."""
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "sbatch is not installed on this machine" in done.stderr
    assert "submit --local" in done.stderr
    assert list(desk.home.iterdir()) == []
    assert not (desk.folder / "runs").exists()


def test_a_dry_run_without_slurm_shows_the_script(desk):
    """--dry-run prints what would be submitted, and submits nothing."""
    done = desk.type("submit", "--dry-run", "job.yaml")
    assert (done.returncode, done.stdout[:12]) == (0, "#!/bin/bash\n")
    assert "\nrun_id=job-dry-run\n" in done.stdout
    assert not (desk.folder / "runs").exists()


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


def test_what_submit_prints(desk):
    """stdout is the run's id; stderr has the next commands and the overriding variables."""
    desk.command("sbatch", '[ -z "${SBATCH_PARTITION:-}" ] && echo "Submitted batch job 4711"')
    desk.command("srun", "exit 1")
    done = desk.type("submit", "job.yaml", SBATCH_PARTITION="debug")
    run_id = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{run_id}\n"
    assert done.stderr.startswith(
        "note: ignored, because they would override the spec: SBATCH_PARTITION\n"
    )
    assert "queued as job 4711" in done.stderr
    assert f"  clusterrun status {run_id}\n" in done.stderr
    parsable = desk.type("submit", "--parsable", "job.yaml").stdout
    assert parsable.endswith(";4711\n")


def test_a_refusal_by_slurm_exits_with_1(desk):
    """Slurm's own error is printed, and no run is left behind."""
    desk.command("sbatch", 'echo "sbatch: error: invalid partition specified: x" >&2; exit 1')
    desk.command("srun", "exit 1")
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "sbatch: invalid partition specified: x"
    assert json.loads(desk.type("list", "--json").stdout) == []
    assert list((desk.folder / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "spec", "option"),
    [
        (
            "SlurmctldParameters     = idle_on_node_suspend,enable_expedited_requeue",
            "",
            " --requeue=expedite ",
        ),
        ("SlurmctldParameters     = (null)", "", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {by: requeue}\n", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {on: []}\n", " "),
    ],
)
def test_an_expedited_requeue_is_requested_if_allowed(desk, config, spec, option):
    """Only the cluster knows whether it is allowed, so submit checks, unless the spec decides."""
    desk.write(f"script: train.py\n{spec}")
    desk.command("scontrol", f'echo "{config}"')
    desk.command("srun", "")
    desk.command("sbatch", f'echo "$*" > {desk.folder}/words; echo "Submitted batch job 7"')
    done = desk.type("submit", "job.yaml")
    assert done.returncode == 0, done.stderr
    folder = next((desk.folder / "runs").iterdir())
    assert (desk.folder / "words").read_text() == f"{option}{folder}/job.sbatch\n".lstrip()
