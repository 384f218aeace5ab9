"""The command line as a user meets it: real processes on a machine without Slurm."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clusterrun import __version__, cli
from clusterrun.index import Index, Run
from clusterrun.paths import RunPaths

SECRET = "hf_aVeryLongTokenThatNobodyMaySee"  # noqa: S105 - what must not be found


class Desk:
    """A user's machine: a home, a PATH with bash and no Slurm, and a folder to type commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.programs = folder, folder / "home", folder / "bin"
        for path in (self.home, self.programs, folder / "tmp"):
            path.mkdir()
        (self.programs / "bash").symlink_to(str(shutil.which("bash")))
        self.environment = {
            "HOME": str(self.home), "PATH": str(self.programs), "TMPDIR": str(folder / "tmp"), "LANG": "C.UTF-8",
            "VIRTUAL_ENV": str(folder / "venv"), "PYTHONPATH": str(Path(cli.__file__).parent.parent.parent),
        }  # fmt: skip
        (folder / "venv" / "bin").mkdir(parents=True)
        (folder / "venv" / "bin" / "activate").touch()

    def write(self, text: str, name: str = "job.yaml") -> None:
        (self.folder / name).write_text(text)

    def type(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `clusterrun` with these words."""
        return subprocess.run(
            [sys.executable, "-m", "clusterrun", *words], env=self.environment | environment, cwd=self.folder,
            text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def run(self, run_id: str, *, job_id: str = "", **end: str) -> RunPaths:
        """Make a run that has begun one attempt, and ended it where `end` says how."""
        paths = RunPaths(self.folder / "runs" / run_id)
        for path in (paths.events, paths.logs):
            path.mkdir(parents=True)
        paths.begin("0001").write_text(f"job_id={job_id}\n")
        paths.log("0001").write_text("first line\nlast line\n")
        if end:
            paths.end("0001").write_text("".join(f"{key}={value}\n" for key, value in end.items()))
        Index(self.environment).add(Run(run_id, paths, job_id))
        return paths

    def command(self, name: str, text: str) -> None:
        """Put a program on PATH that stands for one of Slurm's."""
        path = self.programs / name
        path.write_text(f"#!{self.programs}/bash\n{text}\n")
        path.chmod(0o755)


@pytest.fixture
def desk(tmp_path) -> Desk:
    made = Desk(tmp_path)
    made.write("script: train.py\n")
    (tmp_path / "train.py").touch()
    return made


def test_the_version_and_the_help(desk):
    """Help and version are data on stdout; without a command the help is shown."""
    assert desk.type("--version").stdout == f"clusterrun {__version__}\n"
    shown = desk.type("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f"    {name} " in shown.stdout for name in cli.COMMANDS)
    assert desk.type().stdout == shown.stdout


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(desk, command):
    """Each command's help says what it does, and every option of it what it is for."""
    shown = desk.type(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert cli.COMMANDS[command] in shown.stdout
    parser = cli._parser([command])
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    silent = [
        action.option_strings
        for action in commands.choices[command]._actions
        if action.option_strings and not action.help
    ]
    assert silent == []
    assert all(
        option in shown.stdout for action in commands.choices[command]._actions for option in action.option_strings
    )


@pytest.mark.parametrize("words", [["sbumit"], ["render"], ["render", "job.yaml", "--nodes=2"], ["status", "--jsn"]])
def test_a_wrong_command_line_is_the_users_mistake(desk, words):
    """An unknown command or option, or a missing word, exits with 2 and says how the command is used."""
    done = desk.type(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: clusterrun")


def test_validate_says_what_would_run(desk):
    """A valid spec exits with 0; the words are for people, so stdout stays empty."""
    desk.write("script: train.py\nname: tiny\nslurm: {nodes: 2, gpus-per-node: 4}\n")
    done = desk.type("validate", "job.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"note: no environment in the spec: the active Python is used, {desk.folder}/venv\n"
        "job.yaml: valid: tiny, 2 nodes, as many processes as Slurm gives GPUs\n"
    )


@pytest.mark.parametrize("command", ["validate", "render", "submit"])
def test_a_wrong_spec_exits_with_2(desk, command):
    """Every command that takes a spec tells its mistakes on stderr and does nothing."""
    desk.write("script: train.py\nslurm: {gpus-per-nod: 4}\n")
    done = desk.type(command, "job.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "job.yaml:2: slurm.gpus-per-nod: no such field\n  hint: did you mean gpus-per-node?\n"
    assert list(desk.home.iterdir()) == []


def test_validate_and_submit_look_for_files_and_render_only_warns(desk):
    """A script can be rendered where its files are not; it is not queued from there."""
    desk.write("script: gone.py\n")
    mistake = f"job.yaml:1: script: no such file: {desk.folder}/gone.py\n"
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
    """`clusterrun render job.yaml | sbatch` works: stdout is the script, in every byte."""
    script = desk.type("render", "job.yaml", "--set", "slurm.nodes=3", "--set", "name=tiny").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.splitlines()[1:3] == ["#SBATCH --job-name=tiny", "#SBATCH --nodes=3"]


def test_a_reader_that_goes_away_is_no_bug(desk):
    """`clusterrun render job.yaml | head` ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "clusterrun", "render", "job.yaml"], stdout=writer, stderr=subprocess.PIPE,
                          text=True, env=desk.environment, cwd=desk.folder, check=False)  # fmt: skip
    os.close(writer)
    assert done.returncode == 141
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


def test_profiles_are_found_and_can_be_left_out(desk):
    """--profile goes before CLUSTERRUN_PROFILE, that before the user's own, and an empty name means none."""
    own = desk.home / ".config" / "clusterrun" / "profile.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("slurm: {partition: own}\n")
    for name in ("variable", "option"):
        desk.write(f"slurm: {{partition: {name}}}\n", f"{name}.yaml")

    def partition(*words: str, **environment: str) -> list[str]:
        script = desk.type("render", "job.yaml", *words, **environment).stdout
        return [line.partition("=")[2] for line in script.splitlines() if line.startswith("#SBATCH --partition=")]

    assert partition() == ["own"]
    assert partition(CLUSTERRUN_PROFILE="variable.yaml") == ["variable"]
    assert partition("--profile", "option.yaml", CLUSTERRUN_PROFILE="variable.yaml") == ["option"]
    assert partition(CLUSTERRUN_PROFILE="") == []
    done = desk.type("render", "job.yaml", "--profile", "gone.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--profile: no such profile: gone.yaml\n  hint: give the path of a YAML file\n"


def test_submit_without_slurm_names_the_way_out(desk):
    """Where sbatch is not installed, submit says so and names --local; nothing is left behind."""
    done = desk.type("submit", "job.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "sbatch is not on this machine" in done.stderr
    assert "submit --local" in done.stderr
    assert list(desk.home.iterdir()) == []
    assert not (desk.folder / "runs").exists()


def test_a_dry_run_without_slurm_shows_the_script(desk):
    """--dry-run prints what would be queued, and queues nothing."""
    done = desk.type("submit", "--dry-run", "job.yaml")
    assert (done.returncode, done.stdout[:12]) == (0, "#!/bin/bash\n")
    assert "  run_id=job-dry-run\n" in done.stdout
    assert not (desk.folder / "runs").exists()


@pytest.mark.parametrize("command", ["status", "logs", "wait", "cancel", "stop", "checkpoints", "resume", "requeue"])
def test_a_run_that_nobody_knows(desk, command):
    """A name that fits no run exits with 2 and says where to look."""
    done = desk.type(command, "tiny")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no run is called tiny\n  hint: `clusterrun list` shows the runs\n"


@pytest.mark.parametrize("command", ["status", "logs", "wait", "cancel", "stop", "checkpoints"])
def test_a_beginning_that_fits_two_runs(desk, command):
    """A beginning that fits several runs exits with 2 and lists them; a whole id is never ambiguous."""
    desk.run("tiny-1", cause="finished", next="end")
    desk.run("tiny-10", cause="crash", next="end", exit_code="7")
    done = desk.type(command, "tiny")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "2 runs begin with tiny\n  hint: tiny-1, tiny-10\n")
    assert desk.type(command, "tiny-1").returncode == 0


def test_what_is_known_of_runs_that_have_ended(desk):
    """status, list, logs and wait answer from the run's folder, without Slurm; wait's exit code is the run's."""
    desk.run("good", job_id="11", cause="finished", next="end", exit_code="0")
    desk.run("bad", job_id="12", cause="crash", next="end", exit_code="7")
    shown = desk.type("status", "11")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[:3] == ["run       good", "state     COMPLETED (finished)", "job       11"]
    assert json.loads(desk.type("status", "last", "--json").stdout)["run_id"] == "bad"
    assert [run["state"] for run in json.loads(desk.type("list", "--json").stdout)] == ["FAILED", "COMPLETED"]
    assert desk.type("logs", "good").stdout == "first line\nlast line\n"
    assert [desk.type("wait", name).returncode for name in ("good", "bad")] == [0, 1]
    for command in ("cancel", "stop"):
        done = desk.type(command, "bad")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "bad: FAILED: crashed with exit code 7\n"


def test_a_cancellation_is_believed_when_the_job_is_gone(desk):
    """The script writes down a cancellation before it is sure of it: while squeue has the job, the run is ending."""
    desk.run("ending", job_id="12", cause="cancel", next="end", exit_code="143", ended=str(int(time.time())))
    desk.command("squeue", 'echo "12|12|12|$(<state)|None|N/A|n1|/x"')
    state = desk.folder / "state"
    told = {}
    for word in ("RUNNING", "COMPLETING", "PENDING", "CANCELLED", "TIMEOUT"):
        state.write_text(word)
        told[word] = json.loads(desk.type("status", "ending", "--json").stdout)["state"]
        assert json.loads(desk.type("list", "--json").stdout)[0]["state"] == told[word]
    assert told == {"RUNNING": "RUNNING", "COMPLETING": "RUNNING", "PENDING": "PENDING", "CANCELLED": "CANCELLED",
                    "TIMEOUT": "CANCELLED"}  # fmt: skip
    desk.command("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    assert json.loads(desk.type("status", "ending", "--json").stdout)["state"] == "CANCELLED"


def test_a_cancelled_run_that_could_not_tell_why_it_ended(desk):
    """The final kill can look like a fault to the script; a run that a person cancelled has not failed."""
    paths = desk.run("tiny", job_id="12", cause="failed-start", next="end", exit_code="1", reason="no free port")
    assert json.loads(desk.type("status", "tiny", "--json").stdout)["state"] == "FAILED"
    paths.cancelled.write_text("by=someone\n")
    assert json.loads(desk.type("status", "tiny", "--json").stdout)["state"] == "CANCELLED"


def test_status_tells_every_attempt(desk):
    """Below what is known of the run stands a line for each attempt; --json has them whole."""
    paths = desk.run("tiny", job_id="12", cause="preemption", next="continue", exit_code="0", step="57")
    (paths.events / "attempt-0001.resume").write_text("checkpoint=\nstep=0\nstate=resumed\n")
    paths.begin("0002").write_text("job_id=12\n")
    (paths.events / "attempt-0002.resume").write_text("checkpoint=step-00000050-0001\nstep=50\nstate=resumed\n")
    paths.end("0002").write_text("cause=finished\nnext=end\nexit_code=0\nstep=90\n")
    shown = desk.type("status", "tiny").stdout.splitlines()
    assert shown[-3].split() == ["ATTEMPT", "BEGAN", "ENDED", "BY", "STEPS", "LOST", "LASTED", "JOB", "NODES"]
    assert shown[-2].split() == ["1", "preempted", "0", "to", "57", "7", "12"]
    assert shown[-1].split() == ["2", "finished", "50", "to", "90", "0", "12"]
    attempts = json.loads(desk.type("status", "tiny", "--json").stdout)["attempts"]
    assert [(one["number"], one["words"], one["steps_lost"]) for one in attempts] == [
        (1, "preempted", 7),
        (2, "finished", 0),
    ]


def test_the_tasks_of_an_array(desk):
    """An array is one run with a line a task; a task is a run of its own, by its id, its job's id, and its folder."""
    array = RunPaths(desk.folder / "runs" / "grid")
    array.events.mkdir(parents=True)
    array.intent.write_text("number=1\narray=0-6:2%2\n")
    array.job.write_text("number=1\njob_id=40\n")
    Index(desk.environment).add(Run("grid", array, "40"))
    for number, job, cause in ((0, 41, "finished"), (2, 42, "crash")):
        task = RunPaths(array.folder / f"task-{number}")
        task.events.mkdir(parents=True)
        task.logs.mkdir()
        task.begin("0001").write_text(f"job_id={job}\n")
        task.end("0001").write_text(f"cause={cause}\nnext=end\nexit_code=7\n")
        task.log("0001").write_text(f"task {number}\n")
    desk.command("squeue", 'for n in 4 6; do echo "40_$n|4$n|40|PENDING|Resources|N/A||/x"; done')
    desk.command("sbatch", "exit 1")
    shown = desk.type("status", "grid").stdout
    assert "state     PENDING (4 tasks: 2 PENDING, 1 FAILED, 1 COMPLETED)" in shown
    rows = [line.split()[:3] for line in shown.splitlines() if line.startswith("grid-")]
    assert rows == [["grid-0", "COMPLETED", "41"], ["grid-2", "FAILED", "42"], ["grid-4", "PENDING", "40_4"],
                    ["grid-6", "PENDING", "40_6"]]  # fmt: skip
    for name in ("grid-2", "40_2", "./runs/grid/task-2"):
        found = json.loads(desk.type("status", name, "--json").stdout)
        assert (found["run_id"], found["state"]) == ("grid-2", "FAILED")
    assert json.loads(desk.type("list", "--json").stdout)[0]["state"] == "PENDING"
    assert desk.type("logs", "grid-0").stdout == "task 0\n"
    done = desk.type("logs", "grid")
    assert (done.returncode, done.stderr) == (1, "grid is a job array, and each task has its own output\n"
                                                 "  hint: name one of grid-0, grid-2\n")  # fmt: skip
    assert desk.type("status", "grid-3").returncode == 2


def test_requests_to_an_array_reach_its_tasks(desk):
    """`stop` asks the tasks that run and takes the others out of the queue; `cancel` ends the array's job."""
    array = RunPaths(desk.folder / "runs" / "grid")
    array.events.mkdir(parents=True)
    array.intent.write_text("number=1\narray=0-2\n")
    array.job.write_text("number=1\njob_id=40\n")
    Index(desk.environment).add(Run("grid", array, "40"))
    tasks = [RunPaths(array.folder / f"task-{number}") for number in (0, 1)]
    for number, task in enumerate(tasks):
        task.events.mkdir(parents=True)
        task.begin("0001").write_text(f"job_id=4{number}\n")
        task.stop.touch()
    tasks[0].end("0001").write_text("cause=finished\nnext=end\n")
    desk.command("squeue", 'echo "40_1|41|40|RUNNING|None|N/A|n1|/x"; echo "40_2|42|40|PENDING|Resources|N/A||/x"')
    desk.command("sbatch", "exit 1")
    desk.command("scancel", 'echo "$@" >> scancelled')
    assert desk.type("stop", "grid").returncode == 0
    assert [task.stop.read_text()[:8] for task in tasks] == ["", "asked by"]
    assert desk.type("cancel", "grid").returncode == 0
    assert [task.cancelled.exists() for task in tasks] == [False, True]
    assert (desk.folder / "scancelled").read_text() == "--state=PENDING 40\n40\n"
    desk.command("scontrol", 'echo "JobId=41 Requeue=1 Restarts=0"')
    assert desk.type("requeue", "grid").returncode == 0
    assert [task.requeue.exists() for task in tasks] == [False, True]
    assert (desk.folder / "scancelled").read_text().endswith("\n--signal=USR1 40_1\n")


def test_a_job_that_may_not_be_requeued(desk):
    """`requeue` of such a run asks nothing of it, and names the way that is left."""
    paths = desk.run("tiny", job_id="12")
    desk.command("squeue", 'echo "12|12|12|RUNNING|None|N/A|n1|/x"')
    desk.command("scontrol", 'echo "JobId=12 Requeue=0 Restarts=0"')
    done = desk.type("requeue", "tiny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "job 12 may not be requeued: requeue.on is empty, or the site forbids it\n"
        "  hint: `clusterrun stop`, and when it has left, `clusterrun resume`\n"
    )
    assert not paths.requeue.exists()


def test_a_run_is_found_by_its_folder(desk):
    """A run folder names its run where the user's index does not know it."""
    paths = desk.run("good", cause="finished", next="end")
    Index(desk.environment).remove("good")
    assert json.loads(desk.type("status", "--json", "./runs/good").stdout)["folder"] == str(paths.folder)


def test_logs_of_an_attempt_that_never_was(desk):
    """Asking for more than there is exits with 1 and says what there is."""
    desk.run("good", cause="finished", next="end")
    done = desk.type("logs", "good", "--attempt", "3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "good has no attempt 3\n  hint: its attempts: 1 to 1\n"


def test_a_timeout_has_an_exit_code_of_its_own(desk):
    """wait --timeout exits with 124, as timeout(1) does, while the run goes on."""
    desk.run("lives", job_id="12")
    done = desk.type("wait", "lives", "--timeout", "0")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.startswith("lives is still ")


def test_a_bug_is_told_in_one_line_and_kept_in_a_file(desk):
    """What nobody foresaw exits with 3: no traceback on the screen, but in the file that the message names."""
    (desk.home / ".local/state/clusterrun/runs/a-folder-in-place-of-a-file").mkdir(parents=True)
    done = desk.type("list")
    assert (done.returncode, done.stdout) == (3, "")
    (log,) = (desk.folder / "tmp").iterdir()
    first, second = done.stderr.splitlines()
    assert first.startswith("clusterrun: a bug: IsADirectoryError: ")
    assert second == f"  hint: please report it with {log}"
    text = log.read_text()
    assert text.startswith(f"clusterrun {__version__}, Python ")
    assert "\nclusterrun list\n" in text
    assert "Traceback (most recent call last):" in text
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words", [["list"], ["status"], ["submit", "job.yaml"]])
@pytest.mark.parametrize("place", [".local/state/clusterrun", ".local/state/clusterrun/runs"])
def test_a_file_in_place_of_the_index(desk, place, words):
    """What stands in the way of the index is told, with the way out, by the commands that need it."""
    path = desk.home / place
    path.parent.mkdir(parents=True)
    path.write_text("not a folder")
    desk.command("sbatch", "exit 1")
    done = desk.type(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the index of your runs, {path}" in done.stderr
    assert "hint: move away what stands there" in done.stderr


def test_the_public_functions_stay_what_they_are():
    """`clusterrun.submit` is the function the second time, too, though a module has the same name."""
    program = "import clusterrun as c; names = c.__all__ * 2; print(*(n for n in names if not callable(getattr(c, n))))"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout == "\n"


def test_the_values_of_secrets_are_written_nowhere(desk):
    """A secret is named in the spec and the script; its value is in no file and on no screen."""
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
    assert "  secret HF_TOKEN\n" in (run / "job.sbatch").read_text()
    files = [path for path in desk.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [text for text in screens if SECRET in text] == []


def test_what_is_told_after_submit(desk):
    """stdout is the run's id alone; what to type next is told on stderr; variables that would override are named."""
    desk.command("sbatch", '[ -z "${SBATCH_PARTITION:-}" ] && echo "Submitted batch job 4711"')
    desk.command("srun", "exit 1")
    done = desk.type("submit", "job.yaml", SBATCH_PARTITION="debug")
    run_id = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{run_id}\n"
    assert done.stderr.startswith("note: left out, because they would override the spec: SBATCH_PARTITION\n")
    assert "queued as job 4711" in done.stderr
    assert f"  clusterrun status {run_id}\n" in done.stderr
    parsable = desk.type("submit", "--parsable", "job.yaml").stdout
    assert parsable.endswith(";4711\n")


def test_a_refusal_of_slurm_exits_with_1(desk):
    """Slurm's own words are told, and no run is left behind."""
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
        ("SlurmctldParameters     = idle_on_node_suspend,enable_expedited_requeue", "", " --requeue=expedite "),
        ("SlurmctldParameters     = (null)", "", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {by: requeue}\n", " "),
        ("SlurmctldParameters     = enable_expedited_requeue", "requeue: {on: []}\n", " "),
    ],
)
def test_an_expedited_requeue_is_asked_for_where_it_is_allowed(desk, config, spec, option):
    """Only the cluster can tell, so it is asked at submit, and only where the spec leaves the way to us."""
    desk.write(f"script: train.py\n{spec}")
    desk.command("scontrol", f'echo "{config}"')
    desk.command("srun", "")
    desk.command("sbatch", f'echo "$*" > {desk.folder}/words; echo "Submitted batch job 7"')
    done = desk.type("submit", "job.yaml")
    assert done.returncode == 0, done.stderr
    folder = next((desk.folder / "runs").iterdir())
    assert (desk.folder / "words").read_text() == f"{option}{folder}/job.sbatch\n".lstrip()
