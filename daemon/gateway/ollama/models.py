"""A served launch as Ollama lists and shows models. Pure.

Every field has the type of Ollama's structs (api/types.go: ``ListModelResponse``, ``ProcessModelResponse``,
``ShowResponse``), which its clients decode strictly: times are RFC 3339, sizes are numbers. ``unknown`` is
Ollama's own word for a quantization that it does not know.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.gateway.headers import Header
from daemon.gateway.served import Facts, kind_of
from daemon.launches.launch import Launch
from domain.launches.plan import HOST, VllmFlags
from domain.models.kinds import Kind

UNKNOWN = "unknown"
# Of a launch that is served until its owner stops it. Ollama says so of keep_alive -1 with the longest time
# that Go has for a duration, some 292 years; a year with four digits is what every client can read.
NEVER = "2318-01-01T00:00:00+00:00"
REASONS_WITH = ("enable_thinking", "<think>", "reasoning_effort", "<|channel|>")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """``stops_at``: when it stops if nobody uses it, ``None`` for never."""

    launch: Launch
    facts: Facts
    header: Header
    stops_at: str | None = None


def tag(model: ServedModel) -> dict[str, Any]:
    """A row of ``/api/tags``."""
    launch = model.launch
    return {
        "name": launch.name,
        "model": launch.name,
        "modified_at": launch.lifecycle.since,
        "size": 0 if launch.plan is None else launch.plan.weights.size_bytes,
        "digest": digest(launch),
        "details": details(model),
        "capabilities": capabilities(model),
    }


def running(model: ServedModel) -> dict[str, Any]:
    """A row of ``/api/ps``. ``size`` is the memory that the plan gives it, ``size_vram`` that on GPUs."""
    memory = () if model.launch.plan is None else model.launch.plan.memory
    return {
        "name": model.launch.name,
        "model": model.launch.name,
        "size": sum(device.needed_bytes for device in memory),
        "digest": digest(model.launch),
        "details": details(model),
        "expires_at": NEVER if model.stops_at is None else model.stops_at,
        "size_vram": sum(device.needed_bytes for device in memory if device.device != HOST),
        "context_length": model.facts.context_tokens or 0,
    }


def show(model: ServedModel) -> dict[str, Any]:
    """``/api/show``."""
    numbers = model.header.numbers
    parameters = ""
    if model.facts.context_tokens is not None:
        parameters = f"num_ctx                        {model.facts.context_tokens}"
    return {
        "license": str(numbers.get("general.license", "")),
        "modelfile": f"FROM {model.launch.name}\n",
        "parameters": parameters,
        "template": model.header.chat_template,
        "details": details(model),
        "model_info": model_info(model),
        "capabilities": capabilities(model),
        "modified_at": model.launch.lifecycle.since,
    }


def details(model: ServedModel) -> dict[str, Any]:
    plan = model.launch.plan
    family = model.header.architecture or UNKNOWN
    is_gguf = plan is None or any(file.name.endswith(".gguf") for file in plan.weights.files)
    return {
        "parent_model": "",
        "format": "gguf" if is_gguf else "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": parameter_size(model.header.parameters),
        "quantization_level": UNKNOWN if plan is None else plan.weights.quant,
        "context_length": model.facts.context_tokens or 0,
    }


def model_info(model: ServedModel) -> dict[str, Any]:
    """The header's own keys. The context is the one that is served, not the one that the model was trained
    with: clients send as much as it says."""
    architecture = model.header.architecture or UNKNOWN
    info: dict[str, Any] = dict(model.header.numbers)
    info["general.architecture"] = architecture
    if model.header.parameters is not None:
        info["general.parameter_count"] = model.header.parameters
    info.pop(f"{architecture}.context_length", None)
    if model.facts.context_tokens is not None:
        info[f"{architecture}.context_length"] = model.facts.context_tokens
    return info


def capabilities(model: ServedModel) -> list[str]:
    """In Ollama's words (types/model/capability.go). Until its engine says so, a model that gets tools in its
    chat template takes them."""
    if kind_of(model.launch) is Kind.EMBEDDING:
        return ["embedding"]
    if kind_of(model.launch) is not Kind.MODEL:
        return []
    template, flags = model.header.chat_template, model.launch.plan and model.launch.plan.flags
    tools, reasons = model.facts.tools, any(words in template for words in REASONS_WITH)
    if isinstance(flags, VllmFlags):
        tools, reasons = flags.auto_tool_choice, flags.reasoning_parser is not None
    has = {
        "tools": "tools" in template if tools is None else tools,
        "vision": model.facts.vision,
        "audio": model.facts.audio,
        "thinking": reasons,
    }
    return ["completion", *(name for name, value in has.items() if value)]


def digest(launch: Launch) -> str:
    """SHA-256, hexadecimal, of what the weights are: as Ollama's, it changes when they do."""
    weights = None if launch.plan is None else launch.plan.weights
    what: Mapping[str, Any] = {"model": launch.name}
    if weights is not None:
        files = [(file.name, file.size_bytes, file.sha256) for file in weights.files]
        what = {"repo": weights.repo, "revision": weights.revision, "files": files}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def parameter_size(count: int | None) -> str:
    """``134.5M``, ``8.2B``."""
    if count is None:
        return UNKNOWN
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
