"""Parses a llama-server command line, as an owner types it, into ``LlamaFlags``."""

from collections.abc import Sequence
from typing import Any

from domain.errors import UsageError
from domain.launches.plan import LlamaFlags
from launchers.llama_cpp.flags import (
    BY_NAME,
    ENGINE_FITS,
    LOAD_MODE,
    LOAD_MODES,
    Kind,
    decode,
)
from launchers.llama_cpp.options import word_counts
from launchers.option_table import OptionTable

# The older switches in terms of --load-mode (b10434 accepts both).
MODE_OF_SWITCH = {"--mmap": "mmap", "--no-mmap": "none", "--direct-io": "dio", "-dio": "dio"}


def parse(args: Sequence[str]) -> LlamaFlags:
    """Fields that are not given are the engine's own defaults; one of them is to fit what is unset.

    Options that say nothing about memory or speed are kept in ``extra``.
    Raises: UsageError, with the nearest option for one that no build has.
    """
    values: dict[str, Any] = {"fit": ENGINE_FITS}
    extra: list[str] = []
    table = OptionTable("llama-server", "llama-server --help", word_counts())
    for name, words in table.read(args):
        flag = BY_NAME.get(name)
        if flag is not None:
            value = decode(flag, name, words[0]) if words else name not in flag.off
            if flag.kind is Kind.PAIRS and isinstance(value, tuple):
                value = (*values.get(flag.field, ()), *value)
            values[flag.field] = value
        elif name in LOAD_MODE or name in MODE_OF_SWITCH or name == "--mlock":
            values["load_mode"] = _load_mode(values.get("load_mode"), name, words)
        else:
            extra += (name, *words)
    unset = [field for field, value in values.items() if value is None]
    return LlamaFlags(**{k: v for k, v in values.items() if k not in unset}, extra=tuple(extra))


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
