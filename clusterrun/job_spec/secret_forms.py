"""The forms of secret values, and the names of variables and flags that hold one."""

from __future__ import annotations

import re

# whatever their value
_STRONG = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_KEY|CREDENTIALS?|API_?KEY|ACCESS_KEY(_ID)?|PRIVATE_KEY"
    r"|(^|_)(PASS|PAT)|(AUTH|ACCESS|API|HUB|HF|GH|GITHUB|GITLAB|BEARER|READ|WRITE)_?TOKEN|^TOKEN)$"
)
# only if the value does not look like anything else
_WEAK = re.compile(r"(TOKEN|(^|_)KEY)$")
# tokens of a text and keys of a table
_COMMON = re.compile(
    r"(^|_)(PAD|EOS|BOS|UNK|MASK|SEP|CLS|STOP|SPECIAL|IMAGE|END|START|FIRST|LAST|SORT|LABEL|TEXT|DATA|INPUT"
    r"|OUTPUT|TARGET|PRIMARY|PER|NEW|DATASET|COLUMN)_?(TOKEN|KEY)$"
)
_NO_SECRET = re.compile(
    r"[-+]?[0-9.,_]+([eE][-+]?\d+)?[kKmMgG]?|(/|~|\./|\.\./).*"
    r"|true|false|yes|no|none|null|empty|dummy|auto|default|x+|<.*>|.{0,3}",
    re.IGNORECASE | re.DOTALL,
)
# The token formats of services: huggingface.co, wandb.ai, github.com, openai.com, aws.amazon.com,
# gitlab.com, slack.com, discord.com, console.cloud.google.com.
_FORMS = {
    "HF_TOKEN": r"\bhf_[A-Za-z0-9]{16,}",
    # a long word elsewhere can be a commit
    "WANDB_API_KEY": r"(?:(?<=wandb login )|(?<=--relogin ))[0-9A-Za-z_-]{20,}|\bwandb_v1_\w{20,}",
    "GITHUB_TOKEN": r"\b(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}",
    "OPENAI_API_KEY": r"\bsk-[A-Za-z0-9_-]{20,}",
    "AWS_ACCESS_KEY_ID": r"\bAKIA[0-9A-Z]{16}\b",
    "GITLAB_TOKEN": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "WEBHOOK_URL": r"https://(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks)/[^\s'\"]+",
    "SLACK_TOKEN": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "GOOGLE_API_KEY": r"\bAIza[A-Za-z0-9_-]{30,}",
    "BEARER_TOKEN": r"(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}",
    "URL_PASSWORD": r"(?<=://)[^/\s:@'\"$]+:[^@\s/'\"$]+(?=@)",
}
_VALUE = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))
_FLAG = re.compile(
    r"(?<!\S)--(?P<flag>[A-Za-z][\w-]*)(?P<sign>[= ])(?P<value>[^\s'\"$|;&-][^\s'\"$|;&]*)"
)


def is_secret_name(name: str, value: str | None = None) -> bool:
    """Return whether a variable or flag of this name contains a secret.

    `value` is its value; None if it is not known. Numbers, paths and common words are not secrets.
    """
    text = name.lstrip("-").replace("-", "_").upper()
    if _COMMON.search(text) or (value is not None and _NO_SECRET.fullmatch(value)):
        return False
    if _STRONG.search(text):
        return True
    if not _WEAK.search(text):
        return False
    return (value is None and text.endswith("TOKEN")) or bool(value and _looks_random(value))


def is_secret_flag(flag: str) -> bool:
    """Return whether a flag passes a secret, if its value is a secret variable."""
    text = variable_of_flag(flag)
    return bool((_STRONG.search(text) or _WEAK.search(text)) and not _COMMON.search(text))


def _looks_random(value: str) -> bool:
    """Return whether a value is one long word of letters and digits."""
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,}", value):
        return False
    return len(value) >= 16 or bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))


def variable_of_flag(flag: str) -> str:
    """Return the variable that holds a flag's secret."""
    return flag.lstrip("-").replace("-", "_").upper()


def names_of_secrets(text: str) -> set[str]:
    """Return the usual variable names of the secret values in a text."""
    return set(secrets_in(text).values())


def secrets_in(text: str, *, flags: bool = False) -> dict[str, str]:
    """Return the secret values in a text, each with the usual name of its variable.

    With `flags`, the text is a command, and `--password VALUE` in it is one, too.
    """
    found = {one[0]: str(one.lastgroup) for one in _VALUE.finditer(text)}
    for one in _FLAG.finditer(text) if flags else ():
        if one["value"] not in found and is_secret_name(one["flag"], one["value"]):
            found[one["value"]] = variable_of_flag(one["flag"])
    return found


def holds_secret(name: str, value: str) -> bool:
    """Return whether the value of a flag or variable has the form of a secret, or its name says so.

    A variable or placeholder in the value is replaced later, and no secret.
    """
    replaced_later = bool(re.search(r"[${]", value))
    return bool(secrets_in(value)) or (not replaced_later and is_secret_name(name, value))


def hide_secrets(text: str, shown: str) -> str:
    """Replace each value that has the form of a secret."""
    return _VALUE.sub(shown, text)
