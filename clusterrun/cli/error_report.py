"""The file that reports an internal error, without the values that may be secrets.

People attach it to public issues.
"""

from __future__ import annotations

import platform
import tempfile
import traceback
from collections.abc import Iterator, Sequence

from clusterrun.job_spec.secret_forms import hide_secrets, holds_secret
from clusterrun.version import __version__

_HIDDEN = "***"
_LEAST_LENGTH = 4  # a shorter value, such as 2 or yes, is in every traceback


def write_report(error: Exception, words: Sequence[str]) -> tuple[str, str]:
    """Write the command and the traceback to a file; return its path, and the error in one line."""
    values = [*_values(words)]
    text = "\n".join(
        (
            f"clusterrun {__version__}, Python {platform.python_version()}, {platform.platform()}",
            " ".join(["clusterrun", *words]),
            "".join(traceback.format_exception(error)),
        )
    )
    with tempfile.NamedTemporaryFile(
        "w", prefix="clusterrun-", suffix=".log", delete=False, errors="backslashreplace"
    ) as file:
        file.write(_hide(text, values))
    return file.name, _hide(f"{type(error).__name__}: {error}", values)


def _hide(text: str, values: Sequence[str]) -> str:
    for value in values:
        text = text.replace(value, _HIDDEN)
    return hide_secrets(text, _HIDDEN)


def _values(words: Sequence[str]) -> Iterator[str]:
    """Yield the values of --set and --param, and those of arguments whose name is a secret's."""
    for before, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=")
        if name in ("--set", "--param"):
            value = value.partition("=")[2]
        is_setting = name in ("--set", "--param") or (before in ("--set", "--param") and equals)
        if len(value) >= _LEAST_LENGTH and (is_setting or holds_secret(name, value)):
            yield value
        elif before.startswith("-") and not equals and holds_secret(before, word):
            yield word
