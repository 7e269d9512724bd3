"""Keeps values that cannot change while their key stays the same, so that they are not read again."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """One value per kind; a call with another key replaces it. Two threads that miss at the same time may
    both read; they read the same."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Hashable, Any]] = {}

    def __call__(self, kind: str, key: Hashable, read: Callable[[], T]) -> T:
        entry = self._entries.get(kind)
        if entry is not None and entry[0] == key:
            cached: T = entry[1]
            return cached
        value = read()
        self._entries[kind] = (key, value)
        return value
