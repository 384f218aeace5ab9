"""Shell texts of an old script without the secrets in them."""

from __future__ import annotations

import re

from clusterrun.job_spec.secret_forms import secrets_in


def without_secrets(text: str, known: dict[str, str], *, flags: bool = False) -> str:
    """Return a shell text with `$NAME` in place of each secret; `known` maps values to names."""
    for value, name in sorted(
        {**secrets_in(text, flags=flags), **known}.items(), key=lambda item: -len(item[0])
    ):
        text = text.replace(f"'{value}'", f'"${name}"')
        place = text.find(value)
        while place >= 0:
            inserted = _quoted_variable(text[:place], name)
            text = text[:place] + inserted + text[place + len(value) :]
            place = text.find(value, place + len(inserted))
    return text


def _quoted_variable(before: str, name: str) -> str:
    """Return a variable as shell text after `before`, which may be inside quotes."""
    quote = ""
    for letter in re.sub(r"\\.", "", before):
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
    return f"'\"${{{name}}}\"'" if quote == "'" else f"${name}" if not quote else f"${{{name}}}"
