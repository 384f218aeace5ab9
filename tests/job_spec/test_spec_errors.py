"""Every error of a wrong spec, in full: file:line: key: what is wrong, and a hint if there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from tests.support.library_words import masked

TABLES = Path(__file__).parents[1] / "spec_errors"
# Replacements for <NAME> in the tables; <LIBRARY> is PyYAML's text, which varies by version.
WORDS = {
    "TIMES": "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes[:seconds]",
    "MEMORY": "a whole number with K, M, G or T, such as 64G",
    "ONE_LINE": "is not allowed; a value is one line of visible characters",
    "DELETE": "delete it; accelerate.config_file uses a whole config file unchanged",
    "ONE_TASK": "managed by clusterrun; the launcher starts one process per GPU",
    "KEYS": "accelerate, args, checkpoint, command, environment, hang, launcher, module, name, node_check, notify, nproc_per_node, parameters, requeue, script, share, slurm, srun_options, sweep, tee",
    "NOTHING": "nothing to run\n  hint: add script: train.py, or module: or command:",
    "NAME": "a name: letters, digits, '.', '_' and '-', at most 64",
    "TYPES": "NO, MULTI_CPU, MULTI_GPU, MULTI_NPU, MULTI_MLU, MULTI_XPU, MULTI_HPU, DEEPSPEED, FSDP, MEGATRON_LM",
    "TAB": "\t",
    "ARRAY": "write 0-3, 1,3,5 or 0-15:4; append %2 to run two at a time",
    "ONCE": "managed by clusterrun; the command runs once on each node",
    "ITSELF": "start the processes in the command, and request cpus-per-task or gpus-per-node",
    "ALIASES": "too many values (an alias of aliases?)",
}

# The second line of a spec, after `script: train.py`; indented, its error without `job.yaml:2: `.
LINES = (TABLES / "lines.txt").read_text()

# Whole files, and all of their errors.
FILES = (TABLES / "files.txt").read_text()

BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
LARGE = [
    ("script: a\0b", "job.yaml:1: not YAML: control character U+0000\n  hint: delete it"),
    (BOMB, "job.yaml:1: <ALIASES>"),
    ("args: " + "[" * 100_000, "job.yaml:1: nested more than 50 levels deep"),
    ("args: " + "[" * 60 + "]" * 60, "job.yaml:1: nested more than 50 levels deep"),
    ("args:\n- [" + "\n [" * 1500, "job.yaml:50: nested more than 50 levels deep"),
    ("args: " + "{a: " * 1500, "job.yaml:1: nested more than 50 levels deep"),
    ("args: " + "[" * 1500 + "]" * 1500, "job.yaml:1: nested more than 50 levels deep"),
    ("args:\n " + "- " * 1500, "job.yaml:2: nested more than 50 levels deep"),
    (
        "\n".join(" " * depth + "a:" for depth in range(1200)),
        "job.yaml:51: nested more than 50 levels deep",
    ),
    (f"args: ['{'[' * 60}', \"{'{' * 60}\"] # {'[' * 60}\n]", "job.yaml:2: not YAML: <LIBRARY>"),
    ("script: " + "a" * 2_000_000, "job.yaml: too large: 2000008 characters, at most 1000000"),
]
LARGE_NAMES = [
    *(
        "NUL",
        "alias bomb",
        "brackets",
        "closed brackets",
        "brackets on lines",
        "braces",
        "many closed brackets",
    ),
    *("dashes", "indentation", "brackets in quotes", "2 MB"),
]

OVERRIDES = [
    ("nodes", "--set: 'nodes' is not KEY=VALUE\n  hint: write it as in slurm.nodes=4"),
    ("=4", "--set: '=4' is not KEY=VALUE\n  hint: write it as in slurm.nodes=4"),
    ("slurm.=4", "--set: 'slurm.=4' is not KEY=VALUE\n  hint: write it as in slurm.nodes=4"),
    (
        "slurm.nodes=two",
        "--set slurm.nodes: slurm.nodes: 'two' is not a number of nodes\n  hint: write a whole number, or a range such as 2-8",
    ),
    ("slurm.nods=2", "--set slurm.nods: slurm.nods: unknown key\n  hint: did you mean nodes?"),
    ("slurm=2", "--set slurm: slurm: must be a mapping, got a number"),
    ("name='x", "--set name: not YAML: <LIBRARY>"),
    (
        "args.lr=3",
        "--set args.lr: args.lr: args is a list of words in the spec, so a single flag cannot be set\n  hint: write args as a mapping, or set the whole list",
    ),
    ("script=null", "job.yaml:1: <NOTHING>"),
]

SITE_KEYS = "accelerate, checkpoint, environment, gpu_memory, gpus_as, gpus_per_node_without_gres, hang, notify, requeue, run_root, share, slurm"
PROFILES = [
    (
        "script: a.py",
        f"site.yaml:1: script: not allowed in a profile\n  hint: known keys of a profile: {SITE_KEYS}",
    ),
    ("\nslurm: {nod: 3}", "site.yaml:2: slurm.nod: unknown key\n  hint: did you mean nodes?"),
    (
        "slurm: {time: 1d}",
        "site.yaml:1: slurm.time: '1d' is not a Slurm time\n  hint: write 1-00:00:00",
    ),
    ("run_root: [a]", "site.yaml:1: run_root: must be one line of text, got a list"),
    ('run_root: "a\\nb"', "site.yaml:1: run_root: newline (U+000A) <ONE_LINE>"),
    ("- a", "site.yaml:1: a profile must be a mapping of keys, got a list"),
    ("a: {b c", "site.yaml:2: not YAML: <LIBRARY>"),
]


def filled(text: str) -> str:
    """Replace the names by their texts."""
    for name, words in WORDS.items():
        text = text.replace(f"<{name}>", words)
    return text


def lines() -> list[tuple[str, str]]:
    """The cases of LINES: the line, and its whole error."""
    found: list[tuple[str, str]] = []
    for row in LINES.strip().splitlines():
        if row.startswith("  "):
            error = f"  {row.strip()}" if row.startswith("    ") else f"job.yaml:2: {row.strip()}"
            found[-1] = (found[-1][0], f"{found[-1][1]}{error}\n")
        elif not row.startswith("#"):
            found.append((row, ""))
    return [(line, filled(error).rstrip("\n")) for line, error in found]


def files() -> list[tuple[str, str, str]]:
    """The cases of FILES: a description, the text, and all of its errors."""
    found = []
    for block in FILES.strip().split("== ")[1:]:
        title, _, rest = block.partition("\n")
        text, _, error = rest.partition("\n-->\n")
        found.append((title, filled(text), filled(error.rstrip("\n"))))
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def errors_of(text: str | bytes, **options) -> str:
    """Write a spec and return all of its errors."""
    Path("job.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as raised:
        load_spec("job.yaml", **options)
    return str(raised.value)


@pytest.mark.parametrize(("line", "expected"), lines(), ids=[case[0] for case in lines()])
def test_a_wrong_line(line, expected):
    """An error has the file, line and key, what is wrong, and a hint if one is known."""
    text = errors_of(f"script: train.py\n{line}\n")
    assert masked(text, expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in files()], ids=[case[0] for case in files()]
)
def test_a_wrong_file(text, expected):
    """An error of the whole file is reported once, without its consequences."""
    assert masked(errors_of(text), expected) == expected


@pytest.mark.parametrize(("text", "expected"), LARGE, ids=LARGE_NAMES)
def test_a_crafted_file(text, expected):
    """A file crafted to exhaust the reader is refused with one line."""
    assert masked(errors_of(text), filled(expected)) == filled(expected)


@pytest.mark.parametrize(("override", "expected"), OVERRIDES)
def test_a_wrong_override(override, expected):
    """An error in --set is reported under that --set."""
    text = errors_of("script: train.py\nargs: [--lr, 3]\n", overrides=[override])
    assert masked(text, filled(expected)) == filled(expected)


@pytest.mark.parametrize(("profile", "expected"), PROFILES)
def test_a_wrong_profile(profile, expected):
    """An error in the site's profile is reported at the profile's line."""
    Path("site.yaml").write_text(profile)
    text = errors_of("script: train.py\n", profile="site.yaml")
    assert masked(text, filled(expected)) == filled(expected)


def test_a_missing_script_is_an_error_of_the_spec():
    """A spec with nothing to run is reported at its own line, even with a profile."""
    Path("site.yaml").write_text("slurm: {partition: gpu}\n")
    assert errors_of("name: tiny\n", profile="site.yaml") == filled("job.yaml:1: <NOTHING>")


def test_errors_of_all_layers_are_reported_together():
    """Errors in --set, the spec and the profile are all reported at once."""
    Path("site.yaml").write_text("checkpoint: {keep: 0}\n")
    text = errors_of(
        "script: a.py\nslurm: {nodes: x}\n", profile="site.yaml", overrides=["name=a b", "bad"]
    )
    assert text == filled(
        "--set: 'bad' is not KEY=VALUE\n  hint: write it as in slurm.nodes=4\n"
        "--set name: name: 'a b' is not <NAME>\n  hint: write a-b\n"
        "job.yaml:2: slurm.nodes: 'x' is not a number of nodes\n  hint: write a whole number, or a range such as 2-8\n"
        "site.yaml:1: checkpoint.keep: must be at least 1, got 0"
    )


def test_files_that_cannot_be_read():
    """A missing file, a folder and a file that is not UTF-8 are reported by name."""
    assert errors_of(b"script: \xff") == "job.yaml: not UTF-8 text: byte 8 is 0xff"
    for name, expected in {
        "nowhere.yaml": "nowhere.yaml: no such file or directory\n  hint: pass the path of a job spec",
        ".": ".: is a directory",
    }.items():
        with pytest.raises(SpecError) as raised:
            load_spec(name)
        assert str(raised.value) == expected


def test_a_file_name_that_is_not_a_valid_name():
    """A spec without a name uses the file's, and reports if that is not a valid name."""
    Path("my job.yaml").write_text("script: a.py\n")
    with pytest.raises(SpecError) as raised:
        load_spec("my job.yaml")
    what = "name: 'my job', from the file's name, is not <NAME>\n  hint: set name"
    assert str(raised.value) == filled(f"my job.yaml:1: {what}")


def test_values_longer_than_one_argument():
    """A value longer than a Linux argument is refused with its size and the limit."""
    value = "é" * 40_000
    what = "too long: 80000 bytes, at most 65535 fit on a command line\n  hint: put the value into a file"
    assert errors_of(f"script: a.py\nargs: {{lr: {value}}}\n") == f"job.yaml:2: args.lr: {what}"
