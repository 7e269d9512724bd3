"""Remembers what can't change under the same key, so that a second look reads only what can."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """One answer a kind: another key, which names what the answer hangs on, replaces it. Two threads that
    ask at once may both read; they read the same."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[Hashable, Any]] = {}

    def __call__(self, kind: str, key: Hashable, read: Callable[[], T]) -> T:
        known = self._answers.get(kind)
        if known is not None and known[0] == key:
            answer: T = known[1]
            return answer
        answer = read()
        self._answers[kind] = (key, answer)
        return answer
