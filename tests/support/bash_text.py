"""What bash text defines and calls."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A definition, up to its closing bracket; one on a single line ends there.
_FUNCTION = re.compile(
    r"^(?P<name>\w+)\(\) [({](?:(?P<line>[^\n]*[)}])$|\n(?P<body>.*?)^[)}]$)",
    re.MULTILINE | re.DOTALL,
)
# Where a command starts: a line, an operator, a bash keyword, or an argument that is executed.
_COMMAND = re.compile(
    r"(?:^|[;&|({!`'\"]|\b(?:if|then|else|elif|while|until|do|time|retry_if_signalled)\b)\s*([a-z_]\w*)(?![\w=.+/-])",
    re.MULTILINE,
)


@dataclass(frozen=True)
class BashText:
    """The functions of a text, and the words that each may call; "" is the code outside of all."""

    calls: dict[str, set[str]]
    bodies: dict[str, str]

    @property
    def defined(self) -> set[str]:
        """The names of the functions."""
        return set(self.bodies)

    def reached_from(self, name: str) -> set[str]:
        """List the functions that one of them may call, directly or not, including itself."""
        found, new = set[str](), {name}
        while new:
            found |= new
            new = {called for one in new for called in self.calls[one] & self.defined} - found
        return found


def read_bash(text: str) -> BashText:
    """Read a script, or a part of one."""
    text = without_comments(text)
    bodies = {match["name"]: match["line"] or match["body"] for match in _FUNCTION.finditer(text)}
    calls = {name: set(_COMMAND.findall(body)) for name, body in bodies.items()}
    calls[""] = set(_COMMAND.findall(_FUNCTION.sub("", text)))
    return BashText(calls, bodies)


def without_comments(text: str) -> str:
    """Return a text without its comments, and without the here-documents of config files."""
    text = re.sub(r"<<'(END_OF_\w+)'\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\s*#.*$|(?<=\s)# .*$", "", text, flags=re.MULTILINE)
    return text.replace("\\\n", " ")


def exported_functions(text: str) -> list[str]:
    """List the functions that the first node passes to the others."""
    match = re.search(r"functions=\$\(declare -f ([^)]*)\)", text)
    assert match
    return match[1].replace("\\\n", " ").split()
