"""Which variables of its caller a bash function sets: assigned, but not declared local."""

from __future__ import annotations

import re

# One whose body is between ( and ) is a subshell, and sets nothing.
_FUNCTION = re.compile(r"^(\w+)\(\) \{(?:([^\n]*)\}$|\n(.*?)^\}$)", re.MULTILINE | re.DOTALL)
_NESTED = [r"\$\{[^{}]*\}", r"'[^']*'", r"\$?\([^()]*\)", r'"[^"]*"']
_WORD = re.compile(r"([A-Za-z_]\w*)(?:\[\w+\])?\+?=\S*")
_KEYWORDS = {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "}"}


def assigned(text: str) -> dict[str, set[str]]:
    """Return the names that each function sets in its caller; capitals are environment variables."""
    found = {}
    for function in _FUNCTION.finditer(text):
        body = re.sub(r"^\s*#.*$|(?<=\s)# .*$", "", function[2] or function[3], flags=re.MULTILINE)
        body = body.replace("\\\n", " ")
        local = set(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"\blocal ([^;\n]*)", body))))
        names = set().union(*(_names(command) for command in _commands(body))) - local
        found[function[1]] = {name for name in names if not name.isupper()}
    return found


def _commands(body: str) -> list[list[str]]:
    """The words of each simple command, with X in place of quoted text or a subshell."""
    body = re.sub(r"\(\((.*?)\)\)", "X", body)
    before = ""
    while before != body:
        before = body
        for nested in _NESTED:
            body = re.sub(nested, "X", body)
    found = []
    for command in re.split(r"[;\n|]|&&", body):
        words = command.split()
        while words and (words[0] in _KEYWORDS or words[0].endswith(")")):
            words = words[1:]
        found.append(words)
    return found


def _names(words: list[str]) -> set[str]:
    if words[:1] == ["for"]:
        return {words[1]} if words[1].isidentifier() and words[1] != "X" else set()
    if words[:2] == ["mapfile", "-t"] or words[:2] == ["printf", "-v"]:
        return {words[2]}
    match = [_WORD.fullmatch(word) for word in words if word != "}"]
    return {one[1] for one in match if one} if all(match) else set()
