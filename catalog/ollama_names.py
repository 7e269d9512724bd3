"""Models as Ollama spells them: ``qwen3:8b``, ``gpt-oss:120b``, ``llama3.2``, ``gemma3:4b-it-q4_K_M``."""

import re
from collections.abc import Mapping

from domain.models.catalogue_types import KnownModel

# What ``latest``, or no tag, stands for. Source: the pages of ollama.com/library.
LATEST = {
    "gemma3": "4b",
    "gpt-oss": "20b",
    "llama3.1": "8b",
    "llama3.2": "3b",
    "llama3.3": "70b",
    "phi4": "14b",
    "qwen2.5-coder": "7b",
    "qwen3": "8b",
    "qwen3-coder": "30b",
}
_QUANT = re.compile(r"(?:^|-)((?:iq|q|tq)\d\w*|mxfp4|bf16|fp16|f16)$", re.IGNORECASE)
_TUNED = re.compile(r"(?:^|-)(?:instruct|it|chat|text)(?=-|$)")  # the models of the catalogue are
_SIZE = re.compile(r"(\d{1,4}(?:\.\d{1,2})?)b")


def is_size(tag: str | None) -> bool:
    return tag is not None and _SIZE.fullmatch(tag.lower()) is not None


def find(name: str, tag: str | None, catalogue: Mapping[str, KnownModel]) -> tuple[str, str | None] | None:
    """The alias and the quant that ``name:tag`` stands for; ``None`` if it is none of the catalogue's."""
    name = name.lower()
    tag = (tag or "latest").lower()
    quant = None
    if match := _QUANT.search(tag):
        quant, tag = match[1].upper(), tag[: match.start()]
    tag = _TUNED.sub("", tag).strip("-")
    if tag in ("", "latest"):
        tag = LATEST.get(name, "")
    alias = _alias(name, tag, {_key(alias): alias for alias in catalogue}, catalogue)
    return None if alias is None else (alias, quant)


def _key(text: str) -> str:
    """Without the hyphens that Ollama leaves out: ``llama-3.2-3b`` is ``llama3.2`` and ``3b``."""
    return text.lower().replace("-", "").replace("_", "")


def _alias(name: str, tag: str, by_key: Mapping[str, str], catalogue: Mapping[str, KnownModel]) -> str | None:
    if alias := by_key.get(_key(name + tag)):
        return alias
    size = _SIZE.fullmatch(tag)
    if size is None:
        return None
    alias = by_key.get(_key(name))
    if alias and _is_of_size(catalogue[alias], float(size[1])):
        return alias
    # qwen3:30b is qwen3-30b-a3b; of qwen3-30b-a3b-2507 and it the shorter one
    longer = sorted((key for key in by_key if key.startswith(_key(name + tag) + "a")), key=len)
    return by_key[longer[0]] if longer else None


def _is_of_size(model: KnownModel, billions: float) -> bool:
    return model.parameters is not None and abs(model.parameters / 1e9 - billions) < 0.06 * billions
