"""Detection of secrets in a script, by the names of variables and flags and the form of values."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"(^|_)(TOKENS?|API_?KEY|SECRET|SECRET_KEY|PASSWORD|PASSWD|PASS|CREDENTIALS?|ACCESS_KEY(_ID)?)$"
)
# The token formats of services: huggingface.co, wandb.ai, github.com, openai.com, aws.amazon.com,
# gitlab.com, comet.
_FORMS = {
    "HF_TOKEN": r"\bhf_[A-Za-z0-9]{16,}",
    # 40 hexadecimal digits elsewhere are a commit
    "WANDB_API_KEY": r"(?:(?<=wandb login )|(?<=--relogin ))[0-9a-f]{40}\b|\bwandb_v1_\w{20,}",
    "GITHUB_TOKEN": r"\b(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}",
    "OPENAI_API_KEY": r"\bsk-[A-Za-z0-9_-]{20,}",
    "AWS_ACCESS_KEY_ID": r"\bAKIA[0-9A-Z]{16}\b",
    "GITLAB_TOKEN": r"\bglpat-[A-Za-z0-9_-]{16,}",
}
_VALUE = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))


def is_secret_name(name: str) -> bool:
    """Return whether a variable or flag of this name contains a secret."""
    return bool(_NAME.search(name.lstrip("-").replace("-", "_").upper()))


def names_of_secrets(text: str) -> set[str]:
    """Return the usual variable names of the secret values in a text."""
    return {str(match.lastgroup) for match in _VALUE.finditer(text)}


def secrets_in(text: str) -> dict[str, str]:
    """Return the secret values in a text, each with the usual name of its variable."""
    return {match[0]: str(match.lastgroup) for match in _VALUE.finditer(text)}


def without_secrets(text: str, known: dict[str, str]) -> str:
    """Return a shell text with `$NAME` in place of each secret; `known` maps values to names."""
    for value, name in sorted(known.items(), key=lambda item: -len(item[0])):
        text = text.replace(f"'{value}'", f'"${name}"').replace(value, f"${name}")
    return _VALUE.sub(lambda match: f"${match.lastgroup}", text)
