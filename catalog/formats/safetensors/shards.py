"""Which of a repository's files are one safetensors model, and which hold the same weights again."""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from domain.errors import BadModelError
from domain.model import WeightFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MAX_SHARDS = 4096
SUFFIXES = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_SHARD = re.compile(r"^(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors$")
# A publisher's own format beside, and copies in another precision: transformers' "variant" comes before
# the suffix.
_AGAIN = re.compile(r"^consolidated[.-]|\.(fp16|fp32|bf16|int8|ema|non_ema)([.-]|$)", re.IGNORECASE)


def shards_of(names: Iterable[str], indexed: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The safetensors at the top of a place that also has a config.json, each tensor once, in order.

    ``indexed`` tells the names in the index, and is asked only where file names leave it open.
    Raises: BadModelError where a shard is missing."""
    top = {name for name in names if "/" not in name}
    if CONFIG not in top:
        return ()
    found = {name for name in top if name.endswith(".safetensors")}
    plain = {name for name in found if not _AGAIN.search(name)} or found
    if len({_stem(name) for name in plain}) > 1 and INDEX in top:
        wanted = {checked(name) for name in indexed()}
        if missing := sorted(wanted - found):
            raise _incomplete(missing)
        return tuple(sorted(wanted))
    if missing := missing_shards(plain):
        raise _incomplete(missing)
    return tuple(sorted(plain))


def size_bytes(files: Iterable[WeightFile]) -> int:
    """About what the model takes, by names alone."""
    sizes = {
        file.name: file.size_bytes or 0
        for file in files
        if file.name.endswith(".safetensors") and "/" not in file.name
    }
    return sum(size for name, size in sizes.items() if not _AGAIN.search(name)) or sum(sizes.values())


def checked(name: str) -> str:
    """Raises: BadModelError for a name in an index that is no file at the top."""
    if PurePosixPath(name).name != name or not name.endswith(".safetensors"):
        raise BadModelError(f"{INDEX} names {name!r}, which is no file beside it")
    return name


def missing_shards(names: Iterable[str]) -> list[str]:
    """The shards that ``-00001-of-00003`` in ``names`` speaks of and that are not among them."""
    there = set(names)
    expected = {
        f"{match['stem']}-{number:05d}-of-{match['count']}.safetensors"
        for name in there
        if (match := _SHARD.match(name)) and int(match["count"]) <= MAX_SHARDS
        for number in range(1, int(match["count"]) + 1)
    }
    return sorted(expected - there)


def is_needed(name: str, shards: Iterable[str]) -> bool:
    """Weights, configuration and tokenizer, all at the top."""
    return name in shards or ("/" not in name and name.endswith(SUFFIXES))


def _stem(name: str) -> str:
    match = _SHARD.match(name)
    return match["stem"] if match else name.removesuffix(".safetensors")


def _incomplete(missing: list[str]) -> BadModelError:
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return BadModelError(f"the model is incomplete, these are missing: {', '.join(missing[:3])}{more}")
