"""A launcher's own flags, and the script and arguments that follow them.

Sources: `accelerate launch --help` of accelerate 1.15, `torchrun --help` of torch 2.13, `deepspeed
--help` of 0.19.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Started
from clusterrun.starter.from_sbatch.words import Word

_BARE = {
    "accelerate": frozenset(
        """
        cpu multi_gpu tpu use_mps_device use_deepspeed use_fsdp use_megatron_lm use_xpu
        use_parallelism_config m module no_python debug q quiet enable_cpu_affinity
        dynamo_use_fullgraph dynamo_use_dynamic dynamo_use_regional_compilation downcast_bf16
        fp8_use_autocast_during_eval same_network tpu_cluster no_tpu_cluster tpu_use_sudo
        """.split()
    ),
    "torchrun": frozenset(
        "standalone no_python m module run_path use_env virtual_local_rank".split()
    ),
    "deepspeed": frozenset(
        "force_multi no_ssh no_ssh_check no_python module no_local_rank"
        " enable_each_rank_log save_pid".split()
    ),
}
_LETTERS = {"m": "module", "q": "quiet", "r": "redirects", "t": "tee"}


@dataclass(frozen=True)
class Parsed:
    """A parsed launch command."""

    kind: str
    flags: dict[str, Word | None] = field(default_factory=dict)
    """The launcher's own flags, with underscores; None for a flag without a value."""
    what: str = "command"
    """script, module or command."""
    target: Word | None = None
    arguments: tuple[Word, ...] = ()

    def value(self, *names: str) -> str | None:
        """Return the first known value of these flags; None if no value is known."""
        for name in names:
            word = self.flags.get(name)
            if word is not None and word.known:
                return word.text
        return None


def parse_command(started: Started) -> Parsed:
    """Parse a started command."""
    kind, rest = launchers.kind_of(started.words)
    if kind == "python":
        return _parse_python(rest)
    if kind not in launchers.LAUNCHERS:
        return Parsed(kind)
    flags, place = _split_flags(kind, rest)
    if place >= len(rest) or "no_python" in flags:
        return Parsed(kind, flags)
    what = "module" if "module" in flags else "script"
    return Parsed(kind, flags, what, rest[place], tuple(rest[place + 1 :]))


def _split_flags(kind: str, words: Sequence[Word]) -> tuple[dict[str, Word | None], int]:
    flags: dict[str, Word | None] = {}
    place = 0
    while place < len(words) and words[place].text.startswith("-"):
        word = words[place]
        name, equals, _ = word.text.partition("=")
        name = name.lstrip("-").replace("-", "_")
        name = _LETTERS.get(name, name)
        place += 1
        if equals:
            flags[name] = _value_after_equals(word)
        elif name in _BARE[kind] or place >= len(words) or words[place].text.startswith("--"):
            flags[name] = None
            # accelerate also accepts forms such as `--same_network true`
            place += place < len(words) and words[place].text.lower() in ("true", "false")
        else:
            flags[name] = words[place]
            place += 1
    return flags, place


def _value_after_equals(word: Word) -> Word:
    parts = list(word.parts)
    parts[0] = type(parts[0])(parts[0].partition("=")[2])
    return Word(tuple(part for part in parts if part), word.line)


def _parse_python(words: Sequence[Word]) -> Parsed:
    place = 1
    while place < len(words) and words[place].text.startswith("-") and words[place].text != "-m":
        place += 2 if words[place].text in ("-W", "-X") else 1
    if place >= len(words):
        return Parsed("python")
    module = words[place].text == "-m"
    place += module
    what = "module" if module else "script"
    return Parsed("python", {}, what, words[place], tuple(words[place + 1 :]))
