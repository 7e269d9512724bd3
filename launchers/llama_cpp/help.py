"""Parses llama-server's ``--help``: the names of each option, how many words follow it, which words it takes.
Formats of b10068 to b11434."""

import re
from dataclasses import dataclass

NAME = re.compile(r"-{1,2}[A-Za-z][\w.-]*")
DESCRIPTION_COLUMN = 40
ALLOWED = re.compile(r"allowed values: (.+)")
BULLET = re.compile(r"\s{1,120}- ([\w+-]{1,64})(?: \(default\))?:")


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    words: int
    values: tuple[str, ...] = ()


def parse_help(text: str) -> tuple[Option, ...]:
    """Options in order, without those that are listed as removed."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("-") and NAME.match(line):
            blocks.append([line])
        elif blocks and line.startswith(" "):
            blocks[-1].append(line)
    return tuple(_option(block) for block in blocks if "argument has been removed" not in "".join(block))


def _option(block: list[str]) -> Option:
    names: list[str] = []
    rest = block[0]
    while name := NAME.match(rest):
        names.append(name.group())
        rest = rest[name.end() :]
        if not (comma := re.match(r",\s+(?=-)", rest)):
            break
        rest = rest[comma.end() :]
    used = len(block[0]) - len(rest)
    operand = _operand(rest, used)
    return Option(tuple(names), len(re.sub(r"<[^>]*>", "X", operand).split()), _values(operand, block[1:]))


def _operand(rest: str, used: int) -> str:
    """The text between the names and the description."""
    if rest.startswith("  "):
        return ""
    width = DESCRIPTION_COLUMN - used
    if width > 0 and len(rest) > width and rest[width - 1] == " ":
        return rest[:width].strip()
    return rest.strip()


def _values(operand: str, below: list[str]) -> tuple[str, ...]:
    if inside := re.fullmatch(r"\{([^}]{1,512})\}|\[([^\]]{1,512})\]|<(\d(?:\|\d){1,64})>", operand):
        return tuple(re.split(r"[,|]", next(filter(None, inside.groups()))))
    for line in below:
        if allowed := ALLOWED.search(line):
            return tuple(word.strip() for word in allowed.group(1).split(","))
    return tuple(bullet.group(1) for line in below if (bullet := BULLET.match(line)))
