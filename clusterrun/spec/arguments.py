"""A script's own arguments by name, from a spec's mapping or from its list of words."""

from __future__ import annotations

from typing import Any

from clusterrun.spec.model import JobSpec


def arguments_of(spec: JobSpec) -> dict[str, Any]:
    """Return the arguments by name, dashes written as underscores; a bare flag is True."""
    if isinstance(spec.args, dict):
        return {argument_name(key): value for key, value in spec.args.items()}
    words, found = [str(word) for word in spec.args], {}
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found[argument_name(name)] = value if equals else True if after.startswith("--") else after
    return found


def argument_name(flag: str) -> str:
    """Return the name that argparse and transformers give a flag: `--block-size` is block_size."""
    return flag.lstrip("-").replace("-", "_")
