"""What sentence-transformers keep beside a config.json: how texts become vectors, and how long they may be.

Source: vLLM 0.32.0, ``transformers_utils/config.py`` (get_pooling_config, parse_pooling_type,
get_sentence_transformer_tokenizer_config).
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from catalog.formats.safetensors.json_reader import parse_list, parse_object
from domain.errors import BadModelError
from domain.models.model import MetadataValue

MODULES = "modules.json"
POOLING_KEY, MAX_TOKENS_KEY = "general.pooling", "general.max_text_tokens"  # in the metadata of a shape
LENGTH_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
)
DEFAULT_POOLING = "mean"
# A folder of a module: how vectors are pooled, or a layer that follows.
_MODULE_FILE = re.compile(r"^\d{1,2}_[A-Za-z]{1,32}/(config\.json|model\.safetensors)$")
_POOLING = re.compile(r"^(?:pooling_mode_)?(cls|mean|last)", re.IGNORECASE)

Reader = Callable[[str], bytes]


def is_module_file(name: str) -> bool:
    return _MODULE_FILE.match(name) is not None


def described_by(siblings: Collection[str]) -> tuple[str, ...]:
    """The files that ``read`` reads first."""
    return (MODULES,) if MODULES in siblings else ()


def read(siblings: Collection[str], read_file: Reader) -> dict[str, MetadataValue]:
    """Metadata of a shape, empty for a repository without a module that pools. A file that says something
    else is passed over, as vLLM does. Raises: what ``read_file`` raises, but for BadModelError."""
    found: dict[str, MetadataValue] = {}
    if MODULES not in siblings:
        return found
    modules = _parsed(MODULES, read_file, parse_list) or []
    pooling = next((module for module in modules if _is_pooling(module)), None)
    if pooling is None:
        return found
    file = f"{pooling.get('path')}/config.json"
    config = _parsed(file, read_file, parse_object) if file in siblings else None
    found[POOLING_KEY] = _pooling(config or {})
    for name in LENGTH_FILES:
        if name in siblings:
            length = (_parsed(name, read_file, parse_object) or {}).get("max_seq_length")
            if isinstance(length, int) and length > 0:
                found[MAX_TOKENS_KEY] = length
    return found


def _parsed(name: str, read_file: Reader, parse: Callable[[bytes, str], Any]) -> Any:
    try:
        return parse(read_file(name), name)
    except BadModelError:
        return None


def _is_pooling(module: object) -> bool:
    return isinstance(module, Mapping) and str(module.get("type")).endswith(".Pooling")


def _pooling(config: Mapping[str, Any]) -> str:
    mode = config.get("pooling_mode")
    names = [mode] if isinstance(mode, str) else [key for key, value in config.items() if value is True]
    return next((match[1].lower() for name in names if (match := _POOLING.match(name))), DEFAULT_POOLING)
