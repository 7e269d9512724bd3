"""Parses a ``vllm serve`` command line, as an owner types it, into ``VllmFlags``."""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from domain.errors import UsageError
from domain.launches.plan import VllmFlags
from launchers.option_table import OptionTable
from launchers.vllm.options import option_names

FIELDS = {
    "--dtype": "dtype",
    "--max-model-len": "max_model_len",
    "--kv-cache-memory-bytes": "kv_cache_memory_bytes",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--device-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--block-size": "block_size",
    "--cpu-offload-gb": "cpu_offload_gb",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--tensor-parallel-size": "tensor_parallel",
    "-tp": "tensor_parallel",
    "--quantization": "quantization",
    "-q": "quantization",
    "--max-num-seqs": "max_num_seqs",
    "--device-ids": "device_ids",
    "--tool-call-parser": "tool_call_parser",
    "--reasoning-parser": "reasoning_parser",
    "--config-format": "config_format",
    "--load-format": "load_format",
    "--tokenizer-mode": "tokenizer_mode",
    "--runner": "runner",
    "--hf-overrides": "hf_overrides",
    "--chat-template": "chat_template",
}
# vLLM's human-readable integers: lower-case units are powers of 1000, upper-case ones of 1024.
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([kmgtKMGT]?)", re.ASCII)
SWITCHES = {
    "--enforce-eager": ("enforce_eager", True),
    "--no-enforce-eager": ("enforce_eager", False),
    "--enable-auto-tool-choice": ("auto_tool_choice", True),
    "--no-enable-auto-tool-choice": ("auto_tool_choice", False),
}
TEXT_FIELDS = frozenset(
    {"dtype", "quantization", "kv_cache_dtype", "tool_call_parser", "reasoning_parser"}
    | {"config_format", "load_format", "tokenizer_mode", "runner", "hf_overrides", "chat_template"}
)


@cache
def _table() -> OptionTable:
    counts: dict[str, int | None] = {}
    for name in option_names():
        counts |= {name: None, f"--no-{name.removeprefix('--')}": None}
    counts |= dict.fromkeys(SWITCHES, 0) | dict.fromkeys(FIELDS, 1)
    return OptionTable("vllm serve", "vllm serve --help=all", counts, key=_without_path)


def _without_path(name: str) -> str:
    """``--compilation-config.mode`` -> ``--compilation-config``."""
    return name.partition(".")[0]


def parse(args: Sequence[str]) -> VllmFlags:
    """Other options of ``vllm serve`` are kept in ``extra``. Raises: UsageError."""
    values: dict[str, Any] = {}
    extra: list[str] = []
    for name, words in _table().read(args):
        if name in SWITCHES:
            field, value = SWITCHES[name]
            values[field] = value
        elif name in FIELDS:
            values[FIELDS[name]] = _value(FIELDS[name], name, words[0])
        else:
            extra += (name, *words)
    return VllmFlags(**{k: v for k, v in values.items() if v is not None}, extra=tuple(extra))


def _value(field: str, name: str, word: str) -> object:
    if field in TEXT_FIELDS:
        return word
    if field in ("gpu_memory_utilization", "cpu_offload_gb"):
        return _decimal(field, name, word)
    if field == "device_ids":
        if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", word):
            raise UsageError(f"{name} takes numbers such as 0,1, found {word!r}")
        return tuple(int(part) for part in word.split(","))
    if word == "auto" and field == "max_model_len":
        return None
    number = NUMBER.fullmatch(word)
    if number is None:
        raise UsageError(f"{name} takes a number such as 4096 or 2G, found {word!r}")
    return int(float(number[1]) * UNITS.get(number[2], 1))


def _decimal(field: str, name: str, word: str) -> float:
    """A share is above 0 and at most 1, GiB are 0 or more."""
    try:
        number = float(word)
    except ValueError as error:
        raise UsageError(f"{name} takes a number such as 0.9, found {word!r}") from error
    if field == "gpu_memory_utilization" and not 0 < number <= 1:
        raise UsageError(f"{name} takes a share between 0 and 1, found {word}")
    if not 0 <= number < math.inf:
        raise UsageError(f"{name} takes GiB, 0 or more, found {word}")
    return number
