"""Which changes are kept out of a patch because they hold secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatch

from clusterrun.job_spec.secret_forms import holds_secret

# files that hold nothing but secrets: dotenv, ssh(1), OpenSSL, netrc(5), the Hub, wandb, AWS, pip
_NAMES = (
    ".env .env.* *.env .netrc _netrc id_rsa* id_ecdsa* id_ed25519* *.pem *.key *.p12 *.pfx *.kdbx "
    ".pypirc .npmrc credentials credentials.* *credentials.json secrets.* *.secret *.token "
    ".git-credentials"
).split()
_PART = re.compile(rb"^diff --git ", re.MULTILINE)
_ASSIGNED = re.compile(r"""([A-Za-z_][\w-]*)["']?\]?\s*[:=]\s*["']([^"']+)["']""")


def is_secret_file(path: str) -> bool:
    """Return whether a file's name says that it holds secrets."""
    name = path.rpartition("/")[2].lower()
    return any(fnmatch(name, pattern) for pattern in _NAMES)


def split_patch(patch: bytes) -> Iterator[bytes]:
    """Yield the part of each file of a patch."""
    starts = [match.start() for match in _PART.finditer(patch)]
    for start, end in zip(starts, [*starts[1:], len(patch)], strict=True):
        yield patch[start:end]


def shows_secret(part: bytes, secrets: Collection[str]) -> bool:
    """Return whether the changes of a file show a secret value, by form, name, or as one known."""
    text = part.decode(errors="replace")
    if any(secret in text for secret in secrets):
        return True
    return any(
        holds_secret("", line) or any(holds_secret(*pair) for pair in _ASSIGNED.findall(line))
        for line in text.splitlines()
        if line.startswith(("+", "-", " "))
    )
