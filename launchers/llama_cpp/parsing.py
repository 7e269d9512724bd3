"""A llama-server command line, as an owner types it, into ``LlamaFlags``."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from domain.errors import UsageError
from domain.plan import LlamaFlags
from launchers.llama_cpp.flags import (
    BY_NAME,
    ENGINE_FITS,
    LOAD_MODE,
    LOAD_MODES,
    Flag,
    Kind,
    decode,
)
from launchers.llama_cpp.options import words_after

# What the older switches meant in terms of --load-mode (b10434 takes both).
MODE_OF_SWITCH = {"--mmap": "mmap", "--no-mmap": "none", "--direct-io": "dio", "-dio": "dio"}


def parse(args: Sequence[str]) -> LlamaFlags:
    """Fields that are not named are the engine's own defaults: it fits what is unset, too.

    Options that say nothing about memory or speed are kept in ``extra``. ``--name=value`` and
    underscores are taken. Raises: UsageError with the nearest option for one that no build has.
    """
    values: dict[str, Any] = {"fit": ENGINE_FITS}
    extra: list[str] = []
    rest = list(args)
    while rest:
        name, words = _next(rest)
        flag = BY_NAME.get(name)
        if flag is not None:
            found = _value(flag, name, words)
            if flag.kind is Kind.PAIRS and isinstance(found, tuple):
                found = (*values.get(flag.field, ()), *found)
            values[flag.field] = found
        elif name in LOAD_MODE or name in MODE_OF_SWITCH or name == "--mlock":
            values["load_mode"] = _load_mode(values.get("load_mode"), name, words)
        else:
            extra += (name, *words)
    unset = [field for field, value in values.items() if value is None]
    return LlamaFlags(**{k: v for k, v in values.items() if k not in unset}, extra=tuple(extra))


def _next(rest: list[str]) -> tuple[str, list[str]]:
    """Takes one option and its words off the front."""
    token = rest.pop(0)
    name, equals, word = token.partition("=") if token.startswith("--") else (token, "", "")
    if name.startswith("--"):
        name = name.replace("_", "-")
    count = words_after().get(name)
    if count is None:
        raise _unknown(token)
    if equals:
        rest.insert(0, word)
        count = max(count, 1)
    if count > len(rest):
        raise UsageError(f"{name} takes a value, found none")
    words = rest[:count]
    del rest[:count]
    return name, words


def _unknown(token: str) -> UsageError:
    if not token.startswith("-"):
        return UsageError(f"{token!r} is no llama-server option", hint="options begin with - or --")
    near = get_close_matches(token.partition("=")[0], words_after(), n=1, cutoff=0.5)
    return UsageError(
        f"llama-server has no option {token}",
        hint=f"did you mean {near[0]}?" if near else "llama-server --help lists them",
    )


def _value(flag: Flag, name: str, words: list[str]) -> object:
    if flag.kind is not Kind.SWITCH:
        return decode(flag, name, words[0])
    if words:
        raise UsageError(f"{name} takes no value, found {words[0]!r}")
    return name not in flag.off


def _load_mode(before: str | None, name: str, words: list[str]) -> str:
    if name in LOAD_MODE:
        if words[0] not in LOAD_MODES:
            raise UsageError(f"{name} takes one of {', '.join(LOAD_MODES)}, found {words[0]!r}")
        return words[0]
    locked = name == "--mlock" or "mlock" in (before or "")
    mapped = before not in ("none", "mlock") if name == "--mlock" else name == "--mmap"
    if locked:
        return "mmap+mlock" if mapped else "mlock"
    return MODE_OF_SWITCH[name]
