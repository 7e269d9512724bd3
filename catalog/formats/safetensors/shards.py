"""Which of a repository's files make up a safetensors model, and which are copies of the same weights."""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from catalog.formats.base import MISSING_FILES
from catalog.formats.safetensors.sentence_transformers import is_module_file
from domain.errors import BadModelError
from domain.models.model import WeightFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MAX_SHARDS = 4096
SUFFIXES = (".json", ".txt", ".model", ".jinja", ".tiktoken")
PARAMS = "params.json"  # of Mistral's own format, with files that are named consolidated
_SHARD = re.compile(r"^(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors$")
# Copies: in the publisher's own format, or in another precision (transformers' "variant", before the suffix).
_COPY = re.compile(r"^consolidated[.-]|\.(fp16|fp32|bf16|int8|ema|non_ema)([.-]|$)", re.IGNORECASE)


def shards_of(names: Iterable[str], read_index: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The safetensors files in the top folder, if it has a config.json, or those of Mistral's own format: in
    order, each tensor in one of them.

    ``read_index`` returns the file names in the index; it is called only if names leave it open.
    Raises: BadModelError if a shard is missing."""
    top = {name for name in names if "/" not in name}
    present = {name for name in top if name.endswith(".safetensors")}
    if CONFIG not in top:
        present = {name for name in present if _is_consolidated(name)} if PARAMS in top else set()
    originals = {name for name in present if not _COPY.search(name)} or present
    if len({_stem(name) for name in originals}) > 1 and INDEX in top:
        indexed = {_checked_name(name) for name in read_index()}
        if missing := sorted(indexed - present):
            raise _incomplete(missing)
        return tuple(sorted(indexed))
    if missing := _missing_shards(originals):
        raise _incomplete(missing)
    return tuple(sorted(originals))


def config_name(names: Iterable[str], chosen: Iterable[str]) -> str:
    """The file that describes the ``chosen`` shards: params.json for those in Mistral's own format."""
    return PARAMS if PARAMS in names and all(map(_is_consolidated, chosen)) else CONFIG


def _is_consolidated(name: str) -> bool:
    return name.startswith(("consolidated.", "consolidated-")) and name.endswith(".safetensors")


def size_bytes(files: Iterable[WeightFile]) -> int:
    """The approximate size of the model, by names alone."""
    sizes = {
        file.name: file.size_bytes or 0
        for file in files
        if file.name.endswith(".safetensors") and "/" not in file.name
    }
    return sum(size for name, size in sizes.items() if not _COPY.search(name)) or sum(sizes.values())


def _checked_name(name: str) -> str:
    """Raises: BadModelError for a name in an index that is not a file of the top folder."""
    if PurePosixPath(name).name != name or not name.endswith(".safetensors"):
        raise BadModelError(f"{INDEX} names {name!r}, which is not a file in its folder")
    return name


def _missing_shards(names: Iterable[str]) -> list[str]:
    """The shards that names with ``-00001-of-00003`` imply and that are not among ``names``."""
    present = set(names)
    expected = {
        f"{match['stem']}-{number:05d}-of-{match['count']}.safetensors"
        for name in present
        if (match := _SHARD.match(name)) and int(match["count"]) <= MAX_SHARDS
        for number in range(1, int(match["count"]) + 1)
    }
    return sorted(expected - present)


def is_needed(name: str, shards: Iterable[str]) -> bool:
    """Weights, configuration and tokenizer in the top folder, and modules of sentence-transformers."""
    return name in shards or is_module_file(name) or ("/" not in name and name.endswith(SUFFIXES))


def _stem(name: str) -> str:
    match = _SHARD.match(name)
    return match["stem"] if match else name.removesuffix(".safetensors")


def _incomplete(missing: list[str]) -> BadModelError:
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return BadModelError(
        f"the model is incomplete, missing: {', '.join(missing[:3])}{more}", hint=MISSING_FILES
    )
