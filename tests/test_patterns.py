"""Every regular expression of the tree takes time in proportion to the text, whatever the text is.

Engines, files and clients write texts of any length. A quadratic pattern takes seconds for the 20,000
characters here, a linear one some milliseconds: the limit is far from both, also on a machine that is busy,
as CPU time counts.
"""

import ast
import re
import time
from collections.abc import Iterator

import pytest

from launchers.failures import MAX_LINE_CHARS
from launchers.llama_cpp import failures as llama_cpp
from launchers.vllm import failures as vllm
from tests.conftest import ROOMS, ROOT

CHARS = 20_000
LIMIT_CPU_S = 1.0
SHORT_CPU_S = LIMIT_CPU_S / 50
# What repeats: the characters that classes have, and the words of each pattern itself.
REPEATED = (
    "A",
    "a ",
    "0",
    "-",
    "/",
    "1.",
    ":",
    " ",
    "\t",
    "_",
    "a.",
    "0:",
    "a:b@",
    "{",
    "[",
    "0[",
    "(",
    "x\n",
    "ab12-",
)
LITERAL = re.compile(r"[A-Za-z_ :=./-]{3,}")
FUNCTIONS = frozenset({"compile", "search", "match", "fullmatch", "sub", "split", "findall", "finditer"})
CALL = re.compile(rf"\bre\.({'|'.join(FUNCTIONS)})\(")


def patterns() -> Iterator[tuple[str, str | bytes]]:
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        if not CALL.search(text := path.read_text()):
            continue  # parsing all of them takes a second of each process that collects tests
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and (pattern := pattern_of(node)) is not None:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", pattern


def pattern_of(call: ast.Call) -> str | bytes | None:
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and call.args):
        return None
    first = call.args[0]
    if function.value.id != "re" or function.attr not in FUNCTIONS or not isinstance(first, ast.Constant):
        return None
    return first.value if isinstance(first.value, str | bytes) else None


def hostile_texts(pattern: str, chars: int) -> Iterator[str]:
    words = LITERAL.findall(pattern)
    for repeated in (*REPEATED, *words, *(f"{word} " for word in words)):
        text = (repeated * (chars // len(repeated) + 1))[:chars]
        yield from (text, f"{text}!", f"{text}\x00")


def slowest_s(pattern: str | bytes, chars: int) -> float:
    """Of all texts that take more than ``SHORT_CPU_S`` where they are a fifth as long: a quadratic pattern
    that would take ``LIMIT_CPU_S`` takes twice that."""
    compiled, readable = re.compile(pattern), pattern if isinstance(pattern, str) else pattern.decode()

    def took_s(text: str) -> float:
        began = time.process_time()
        compiled.search(text if isinstance(pattern, str) else text.encode())
        return time.process_time() - began

    short, long = hostile_texts(readable, chars // 5), hostile_texts(readable, chars)
    return max(
        (took_s(text) for text, part in zip(long, short, strict=True) if took_s(part) > SHORT_CPU_S),
        default=0.0,
    )


@pytest.mark.parametrize(("where", "pattern"), list(patterns()))
def test_a_pattern_is_linear(where: str, pattern: str | bytes) -> None:
    assert slowest_s(pattern, CHARS) < LIMIT_CPU_S


@pytest.mark.parametrize("failure", [*llama_cpp.FAILURES, *vllm.FAILURES])
def test_a_line_of_an_engine_is_looked_through_at_once(failure: llama_cpp.Failure) -> None:
    assert slowest_s(failure.pattern, MAX_LINE_CHARS) < LIMIT_CPU_S


def test_there_are_patterns_to_look_at() -> None:
    assert len(list(patterns())) > 100
