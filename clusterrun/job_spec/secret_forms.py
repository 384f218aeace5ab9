"""The forms of secret values, and the names of arguments and variables that hold one."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"(^|_)(TOKENS?|API_?KEY|SECRET|SECRET_KEY|PASSWORD|PASSWD|PASS|PAT|CREDENTIALS?|ACCESS_KEY(_ID)?"
    r"|OPENAI_KEY|WANDB_KEY)$"
)
# The token formats of services: huggingface.co, wandb.ai, github.com, openai.com, aws.amazon.com,
# gitlab.com, slack.com; and a password in a URL, RFC 3986, 3.2.1.
_FORMS = (
    r"\bhf_[A-Za-z0-9]{16,}",
    r"\bwandb_v1_\w{20,}",
    r"\b(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}",
    r"\bsk-[A-Za-z0-9_-]{20,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\bglpat-[A-Za-z0-9_-]{16,}",
    r"https://hooks\.slack\.com/services/\S+",
    r"\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@]+@",
)
_VALUE = re.compile("|".join(_FORMS))
_LEAST_LENGTH = 8  # a shorter value is a switch or a count, such as `use_token: true`


def holds_secret(name: str, value: str) -> bool:
    """Return whether a value has the form of a secret, or its name says that it is one."""
    if _VALUE.search(value):
        return True
    is_named = _NAME.search(name.lstrip("-").replace("-", "_").upper())
    # a path, or a variable that the script reads
    return bool(is_named) and len(value) >= _LEAST_LENGTH and not re.search(r"[/$\s{]", value)


def hide_secrets(text: str, shown: str) -> str:
    """Replace each value that has the form of a secret."""
    return _VALUE.sub(shown, text)
