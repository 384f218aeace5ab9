"""The command of an old script that becomes the run, and how a spec starts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from clusterrun.job_spec.secret_forms import is_secret_flag, is_secret_name
from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Started
from clusterrun.starter.from_sbatch.flags import Parsed, parse_command
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.words import Word

_TRAINS = re.compile(r"train|tune|sft|dpo|grpo|ppo|\bfit\b|main\.py|run_\w+\.py", re.IGNORECASE)
ReadFile = Callable[[str], str | None]


@dataclass(frozen=True)
class SelectedCommand:
    """The training command of an old script, and its form in a spec."""

    started: Started
    parsed: Parsed
    form: str
    """script, module or command."""
    why: str = ""
    """Why it is a `command`, although it uses a launcher."""
    arguments: tuple[Word, ...] = ()
    command: str = ""
    starts_ranks: bool = False
    """Whether srun starts Python once for each rank."""
    left: tuple[tuple[int, str, str], ...] = ()
    """Line, flag and variable of each secret that is omitted from the arguments."""

    @property
    def launched(self) -> bool:
        """Whether a launcher starts the processes."""
        return self.form != "command"

    @property
    def launcher(self) -> str:
        """The launcher of the spec; empty for a command."""
        if not self.launched:
            return ""
        if self.parsed.kind in ("torchrun", "deepspeed"):
            return "torchrun"
        return "srun" if self.starts_ranks else "accelerate"


def select_command(
    facts: Facts, requested: ResourceRequest, read_file: ReadFile
) -> SelectedCommand | None:
    """Return the training: the last command of the most likely kind; None without commands."""
    if not facts.started:
        hard = [number for number, kept in enumerate(facts.kept) if not kept.soft]
        if not hard:
            return None
        last = facts.kept[hard[-1]]
        return SelectedCommand(
            _start_of_kept_line(last, hard[-1]),
            Parsed("other"),
            "command",
            command=last.text.removesuffix(" || :").rstrip("\\\n "),
        )
    best = max(launchers.RANKS[one.kind] for one in facts.started)
    candidates = [one for one in facts.started if launchers.RANKS[one.kind] == best]
    trainings = [one for one in candidates if _TRAINS.search(one.text)]
    started = (trainings or candidates)[-1]
    parsed = parse_command(started)
    arguments, left = without_secret_flags(parsed.arguments, facts.secrets)
    why = _reason_for_command(
        started, replace(parsed, arguments=tuple(arguments)), requested, read_file
    )
    if why is not None:
        return SelectedCommand(started, parsed, "command", why, command=command_of(started, parsed))
    return SelectedCommand(
        started,
        parsed,
        parsed.what,
        arguments=tuple(arguments),
        starts_ranks=parsed.kind == "python" and _starts_ranks(started, requested),
        left=tuple(left),
    )


def _start_of_kept_line(kept: Kept, place: int) -> Started:
    return Started(kept.line, kept.text, (), "other", after=place)


def _reason_for_command(
    started: Started, parsed: Parsed, requested: ResourceRequest, read_file: ReadFile
) -> str | None:
    """Return why a started command stays a command; None if accelerate can launch it."""
    if parsed.kind not in (*launchers.LAUNCHERS, "python") or parsed.target is None:
        return ""
    words = (parsed.target, *parsed.arguments)
    if started.inside and started.srun is None and requested.nodes == 1:
        return "it is in a loop or a condition"
    late = [word for word in words if not word.known]
    if late:
        return f"{late[0].text} is known only when the job runs, and args are passed as written"
    if not all(word.one_line for word in words):
        return "one of its arguments has several lines"
    return (
        _reason_for_python(started, parsed, requested, read_file)
        if parsed.kind == "python"
        else None
    )


def _reason_for_python(
    started: Started, parsed: Parsed, requested: ResourceRequest, read_file: ReadFile
) -> str | None:
    """Return why plain Python stays a `command`: one process, or no use of accelerate."""
    if _starts_ranks(started, requested):
        return None
    if requested.nodes > 1 or requested.gpus_a_node > 1:
        return "it starts one process; as a script, accelerate would start one per GPU"
    path = parsed.target.text if parsed.what == "script" and parsed.target is not None else None
    text = read_file(path) if path is not None else None
    uses = text is not None and ("accelerate" in text or "transformers" in text)
    return None if uses else "it does not seem to use accelerate"


def _starts_ranks(started: Started, requested: ResourceRequest) -> bool:
    """Return whether srun starts several tasks, each a rank."""
    if started.srun is None:
        return False
    total = started.srun.options.get("ntasks", "")
    return requested.nodes * tasks_of(started, requested) > 1 and total != "1"


def tasks_of(started: Started, requested: ResourceRequest) -> int:
    """Return the number of tasks that srun starts on each node."""
    options = started.srun.options if started.srun else {}
    each, total, nodes = (options.get(name, "") for name in ("ntasks-per-node", "ntasks", "nodes"))
    count = int(nodes) if nodes.isdigit() else requested.nodes
    if each.isdigit():
        return int(each)
    return max(1, int(total) // max(count, 1)) if total.isdigit() else requested.tasks_a_node


def command_of(started: Started, parsed: Parsed) -> str:
    """Return the shell text that each node runs, without srun."""
    if started.shell and parsed.kind != "python":
        return started.shell.strip("\\\n ") or " ".join(word.shell for word in started.words)
    if started.inside:
        return started.inside
    return (
        started.shell.strip() if started.shell else " ".join(word.shell for word in started.words)
    )


def without_secret_flags(
    words: Sequence[Word], secrets: Collection[str] = ()
) -> tuple[list[Word], list[tuple[int, str, str]]]:
    """Return the arguments without secrets, and line, flag and variable of each secret."""
    found: list[Word] = []
    left: list[tuple[int, str, str]] = []
    for word in words:
        flag, equals, _ = word.text.partition("=")
        before = found[-1].text if found and not equals else ""
        name = _variable_of_word(word, flag if equals else "")
        given = flag if equals else before
        if (
            name
            and given.startswith("-")
            and (is_secret_name(given) or (name in secrets and is_secret_flag(given)))
        ):
            left.append((word.line, given, name))
            if not equals:
                found.pop()
        else:
            found.append(word)
    return found, left


def _variable_of_word(word: Word, flag: str) -> str:
    """Return the variable that is the whole word or all after `flag=`; empty for other words."""
    parts = [part for part in word.parts if part != f"{flag}="]
    names = word.names
    whole = len(parts) == 1 and isinstance(parts[0], Shell) and len(names) == 1
    return next(iter(names)) if whole and parts[0].strip("${}") in names else ""
