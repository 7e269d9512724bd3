"""Ollama's ``options`` as parameters of an OpenAI request. Pure.

Names and types are those of Ollama's api/types.go (``Options``, ``Runner``). Those of its runner that say how
a model is loaded (``num_gpu``, ``num_batch``, ``use_mmap``) are the plan's here, and are left out; so are
unknown ones, of which Ollama only warns, too.
"""

import math
from collections.abc import Mapping
from typing import Any

from daemon.gateway.errors import GatewayError, Reason

# Both engines know the others by the same names.
LLAMA_CPP_NAMES = {"typical_p": "typical_p", "repeat_penalty": "repeat_penalty"}
VLLM_NAMES = {"repeat_penalty": "repetition_penalty"}
FLOATS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty")
INTEGERS = ("top_k", "seed")
LLAMA_CPP_INTEGERS = ("repeat_last_n", "mirostat")
LLAMA_CPP_FLOATS = ("mirostat_tau", "mirostat_eta")


def sampling(options: Mapping[str, Any], *, is_vllm: bool) -> dict[str, Any]:
    """Members of an OpenAI request. Raises: GatewayError for a value of the wrong type."""
    floats = {name: name for name in FLOATS} | (VLLM_NAMES if is_vllm else LLAMA_CPP_NAMES)
    integers = {name: name for name in INTEGERS}
    if not is_vllm:
        floats |= {name: name for name in LLAMA_CPP_FLOATS}
        integers |= {name: name for name in LLAMA_CPP_INTEGERS}
    found: dict[str, Any] = {}
    for name, theirs in floats.items():
        if (value := _number(options, name)) is not None:
            found[theirs] = value
    for name, theirs in integers.items():
        if (value := _number(options, name)) is not None:
            found[theirs] = int(value)
    most = _number(options, "num_predict")
    if most is not None and most > 0:  # -1 and -2 are no limit
        found["max_tokens"] = int(most)
    if stop := _stop(options.get("stop")):
        found["stop"] = stop
    return found


def check_context(options: Mapping[str, Any], *, name: str, context_tokens: int | None) -> None:
    """A window that is as large as the one that is asked for serves it; nothing is loaded again for it.

    Raises: GatewayError for a larger one, with both numbers."""
    wanted = _number(options, "num_ctx")
    if wanted is None or context_tokens is None or wanted <= context_tokens:
        return
    raise GatewayError(
        Reason.INVALID,
        f"options.num_ctx is {int(wanted)}, and {name} is served with a context of {context_tokens} tokens: "
        f"ask for {context_tokens} or less, or leave num_ctx out; "
        f"node-ctl launch with --context {int(wanted)} serves more",
    )


def _number(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GatewayError(Reason.INVALID, f"options.{name} must be a number, not {str(value)[:40]!r}")
    return value


def _stop(value: object) -> list[str]:
    if value is None:
        return []
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise GatewayError(Reason.INVALID, "options.stop must be a list of texts")
    return words
