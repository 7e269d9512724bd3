"""Mutations of structured inputs, which random bytes would only break: JSON, and text in lines."""

import copy
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 1025, 4096, 65535, 65536, 1 << 20),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10**30),
    *(-1, -2, -(1 << 31), -(1 << 63), 0.0, -0.0, 0.5, 1.5, 1e-308, 1e308, -1e308, 1e16),
)
SPECIAL: tuple[Any, ...] = (
    *(None, True, False, "", "x", "0", "-1", "\x00", "\x1b[31m", "\u202e", "\ud800"),
    [],
    {},
)
WORDS = (
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "1e308",
    "nan",
    "inf",
    "-",
    ".",
    "/",
    "..",
    ":",
    "=",
    "[",
    "]",
    "{",
    "}",
)
TOKEN = re.compile(r"\d+|[A-Za-z_]+|\s+|.")
MAX_NESTED = 40


def json_mutation(vocabulary: Sequence[Any] = ()) -> Callable[[bytes, random.Random], bytes]:
    """Changes values, keys and lists of a JSON text; ``vocabulary``: keys and values that readers know."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return byte_mutation(data, rng)
        if rng.random() < 0.05:
            return byte_mutation(data, rng)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            value = _changed(value, rng, vocabulary)
        try:
            return json.dumps(value).encode()
        except RecursionError:
            return data

    return mutate


def _changed(value: Any, rng: random.Random, vocabulary: Sequence[Any]) -> Any:
    """``value`` with one place in it changed, each place about as likely."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            places += [(node, key) for key in node]
            stack += node.values()
        elif isinstance(node, list):
            places += [(node, index) for index in range(len(node))]
            stack += node
    if not places or rng.random() < 0.02:
        return _value(value, rng, vocabulary)
    node, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.6:
        node[key] = _value(node[key], rng, vocabulary)
    elif kind < 0.7:
        del node[key]
    elif kind < 0.8 and isinstance(node, list):
        node.insert(key, copy.deepcopy(rng.choice(node)))
    elif isinstance(node, dict):
        other, other_key = rng.choice(places)
        name = rng.choice((str(rng.choice(vocabulary or WORDS)), str(other_key), str(key) + "x"))
        node[name] = copy.deepcopy(other[other_key])
    else:
        node[key] = [node[key]] * rng.choice((0, 1, 2, 5, 64))
    return value


def _value(before: Any, rng: random.Random, vocabulary: Sequence[Any]) -> Any:
    kind = rng.random()
    if isinstance(before, int | float) and not isinstance(before, bool) and kind < 0.4:
        return rng.choice(
            (
                before + 1,
                before - 1,
                before * 2,
                -before,
                float(before) if abs(before) < 1e300 else 0,
                before // 2,
            )
        )
    if isinstance(before, str) and kind < 0.4:
        return byte_mutation(before.encode(errors="replace"), rng).decode(errors="replace")
    if vocabulary and kind < 0.55:
        return copy.deepcopy(rng.choice(vocabulary))
    if kind < 0.85:
        return rng.choice(NUMBERS)
    if kind < 0.95:
        return copy.deepcopy(rng.choice(SPECIAL))
    nested: Any = before
    for _ in range(rng.choice((1, 2, MAX_NESTED))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def line_mutation(vocabulary: Sequence[str] = ()) -> Callable[[bytes, random.Random], bytes]:
    """Changes lines and words of a text."""
    words = (*WORDS, *vocabulary)

    def mutate(data: bytes, rng: random.Random) -> bytes:
        lines = data.decode(errors="surrogateescape").split("\n")
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(lines)) if lines else 0
            kind = rng.random()
            if not lines or kind < 0.05:
                lines.insert(at, rng.choice(words))
            elif kind < 0.15:
                del lines[at]
            elif kind < 0.25:
                lines.insert(rng.randrange(len(lines) + 1), lines[at])
            elif kind < 0.35:
                lines[at] = byte_mutation(lines[at].encode(errors="surrogateescape"), rng).decode(
                    errors="surrogateescape"
                )
            else:
                lines[at] = _other_words(lines[at], rng, words)
        return "\n".join(lines).encode(errors="surrogateescape")

    return mutate


def _other_words(line: str, rng: random.Random, words: Sequence[str]) -> str:
    tokens = TOKEN.findall(line) or [""]
    at = rng.randrange(len(tokens))
    kind = rng.random()
    if kind < 0.4:
        tokens[at] = str(rng.choice(NUMBERS))
    elif kind < 0.7:
        tokens[at] = rng.choice(words)
    elif kind < 0.8:
        del tokens[at]
    elif kind < 0.9:
        tokens.insert(rng.randrange(len(tokens)), tokens[at])
    else:
        tokens[at] *= rng.choice((2, 8, 200))
    return "".join(tokens)


def byte_mutation(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.random()
        if kind < 0.4 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            changed[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
        elif kind < 0.75:
            del changed[at : at + rng.choice((1, 4, 16, 256))]
        elif kind < 0.9:
            width = rng.choice((1, 2, 4, 8))
            number = int(rng.choice(NUMBERS[:29])) & ((1 << 8 * width) - 1)
            changed[at : at + width] = number.to_bytes(width, "little")
        else:
            begin = rng.randrange(len(changed) + 1)
            changed[at:at] = changed[begin : begin + rng.choice((1, 8, 64))]
    return bytes(changed)
