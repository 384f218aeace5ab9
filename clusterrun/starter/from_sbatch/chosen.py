"""Which of the commands of an old script is the run, and in which form a spec can start it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from clusterrun.starter.from_sbatch import kinds
from clusterrun.starter.from_sbatch.asked import Asked
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Started
from clusterrun.starter.from_sbatch.flags import Parsed, take_apart
from clusterrun.starter.from_sbatch.secret_arguments import without_secret_flags
from clusterrun.starter.from_sbatch.words import Word

ReadFile = Callable[[str], str | None]


@dataclass(frozen=True)
class Chosen:
    """The training of an old script, and how it becomes a spec's."""

    started: Started
    parsed: Parsed
    form: str
    """script, module or command."""
    why: str = ""
    """Why it is a command, where a launcher could have been used."""
    arguments: tuple[Word, ...] = ()
    command: str = ""
    left: tuple[tuple[int, str, str], ...] = ()
    """Line, flag and variable of secrets that are left out of the arguments."""

    @property
    def launched(self) -> bool:
        """Whether accelerate is to start the processes."""
        return self.form != "command"


def choose(facts: Facts, asked: Asked, read_file: ReadFile) -> Chosen | None:
    """Return the training: of the likeliest kind the last one; None where nothing is started."""
    if not facts.started:
        hard = [number for number, kept in enumerate(facts.kept) if not kept.soft]
        if not hard:
            return None
        last = facts.kept[hard[-1]]
        return Chosen(
            _of_kept(last, hard[-1]),
            Parsed("other"),
            "command",
            command=last.text.removesuffix(" || :").rstrip("\\\n "),
        )
    best = max(kinds.RANKS[one.kind] for one in facts.started)
    started = [one for one in facts.started if kinds.RANKS[one.kind] == best][-1]
    parsed = take_apart(started)
    arguments, left = without_secret_flags(parsed.arguments)
    why = _why_command(started, replace(parsed, arguments=tuple(arguments)), asked, read_file)
    if why is not None:
        return Chosen(started, parsed, "command", why, command=command_of(started, parsed))
    return Chosen(started, parsed, parsed.what, arguments=tuple(arguments), left=tuple(left))


def _of_kept(kept: Kept, place: int) -> Started:
    return Started(kept.line, kept.text, (), "other", after=place)


def _why_command(started: Started, parsed: Parsed, asked: Asked, read_file: ReadFile) -> str | None:
    """Say why a started command stays a command; None where accelerate can launch it."""
    if parsed.kind not in (*kinds.LAUNCHERS, "python") or parsed.target is None:
        return ""
    words = (parsed.target, *parsed.arguments)
    late = [word for word in words if not word.known]
    if late:
        return (
            f"{late[0].text} is known only when the job runs, and `args` are handed over as they "
            "stand"
        )
    if not all(word.one_line for word in words):
        return "one of its arguments has several lines"
    return _why_python(started, parsed, asked, read_file) if parsed.kind == "python" else None


def _why_python(started: Started, parsed: Parsed, asked: Asked, read_file: ReadFile) -> str | None:
    """Say why plain Python stays a command: one process a node, or no script for accelerate."""
    if _many(started, asked):
        return None
    if started.inside:
        return "it stands in a loop or a condition"
    if asked.nodes > 1 or asked.gpus_a_node > 1:
        return (
            "it starts one process a node; as a `script`, accelerate would start one for each GPU"
        )
    path = parsed.target.text if parsed.what == "script" and parsed.target is not None else None
    text = read_file(path) if path is not None else None
    uses = text is not None and ("accelerate" in text or "transformers" in text)
    return None if uses else "nothing shows that it is a script for accelerate"


def _many(started: Started, asked: Asked) -> bool:
    """Return whether srun starts several tasks of a plain Python script on a node, each a rank."""
    return started.srun is not None and tasks_of(started, asked) > 1


def tasks_of(started: Started, asked: Asked) -> int:
    """Return how many tasks srun starts on a node."""
    options = started.srun.options if started.srun else {}
    each, total, nodes = (options.get(name, "") for name in ("ntasks-per-node", "ntasks", "nodes"))
    count = int(nodes) if nodes.isdigit() else asked.nodes
    if each.isdigit():
        return int(each)
    return max(1, int(total) // max(count, 1)) if total.isdigit() else asked.tasks_a_node


def command_of(started: Started, parsed: Parsed) -> str:
    """Write what each node runs as a shell line, without the srun in front of it."""
    if started.shell and parsed.kind != "python":
        return started.shell.strip("\\\n ") or " ".join(word.shell for word in started.words)
    if started.inside:
        return started.inside
    return (
        started.shell.strip() if started.shell else " ".join(word.shell for word in started.words)
    )
