"""Which tensor goes to which device, for any -ngl, -ts, -sm, -mg, -ot and experts on the CPU.

Source: llama.cpp ``llama_model_base::load_tensors`` (layers by the running sum of the split, the input
on the host), ``llama_model_loader::create_tensor`` (overrides, first match) and ``common/common.h``.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.model import ModelShape, Tensor
from domain.plan import LlamaFlags
from planner.machine.devices import Device
from planner.model.hparams import Hparams

HOST_ID = -1
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
LAYER_OF = re.compile(r"^blk\.(\d+)\.")
_EXPERTS_OF_LAYER = re.compile(r"^blk\.(\d+)" + EXPERTS)
# Tensors of the input layer; all others without a layer number belong to the output.
INPUT = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
# Tensors without a number that the first layer asks for. Source: ``llm_tensor_info`` of llama.cpp.
FIRST_LAYER = frozenset(
    {"rope_freqs", "rope_factors_long", "rope_factors_short", "per_layer_model_proj", "per_layer_proj_norm"}
)
# These make the output's copy of the embedding before the embedding, so that one device holds both.
# Source: the order of their ``load_arch_tensors``.
TIED_TWICE = frozenset({"gemma3n", "gemma4"})
# Row splits give each device its share of every matrix; a row of such a buffer is padded to 512 values.
HOST_BUFFERS = ("CPU", "CUDA_Host", "Vulkan_Host", "CPU_REPACK", "Host")


@dataclass(frozen=True, slots=True)
class Placement:
    """Device numbers index ``devices``; ``HOST_ID`` is the host.

    ``weights`` and ``layers`` per device; ``tensor_device`` by tensor name; ``output`` the device of
    the output layer; ``duplicated`` bytes of a tied embedding that stand on two devices;
    ``block_devices`` where each tensor of a block stands, in file order."""

    devices: tuple[Device, ...]
    layer_device: tuple[int, ...]
    output: int
    tensor_device: dict[str, int]
    weights: dict[int, int]
    has_overrides: bool
    duplicated: int
    block_devices: tuple[tuple[int, ...], ...] = ()


def place(shape: ModelShape, hparams: Hparams, flags: LlamaFlags, devices: Sequence[Device]) -> Placement:
    layer_device, output = layer_devices(len(hparams.layers), flags, devices)
    rules = overrides(flags, devices)
    on: dict[str, int] = {}
    weights = dict.fromkeys([HOST_ID, *range(len(devices))], 0)
    tied = is_tied(shape.tensors)
    twice = shape.architecture in TIED_TWICE or not hparams.is_known
    duplicated = 0
    blocks: list[list[int]] = [[] for _ in layer_device]
    for tensor in shape.tensors:
        block = block_of(tensor.name)
        if block is not None and block >= hparams.trunk:
            continue  # multi-token prediction: not loaded unless it drafts
        device = _device_of(tensor.name, layer_device, output, rules)
        on[tensor.name] = device
        weights[device] += tensor.size_bytes
        if block is not None:
            blocks[block].append(device)
        if tied and tensor.name == "token_embd.weight" and (output != HOST_ID or twice):
            target = _by_rule("token_embd.weight", rules, output)
            if target != device or twice:
                weights[target] += tensor.size_bytes
                duplicated = tensor.size_bytes
    placed = tuple(tuple(block) for block in blocks)
    return Placement(tuple(devices), layer_device, output, on, weights, bool(rules), duplicated, placed)


def is_tied(tensors: Sequence[Tensor]) -> bool:
    """Whether the embedding is the output matrix, too."""
    return all(tensor.name != "output.weight" for tensor in tensors)


@lru_cache(maxsize=1 << 16)
def block_of(name: str) -> int | None:
    found = LAYER_OF.match(name)
    return int(found.group(1)) if found else None


def layer_devices(blocks: int, flags: LlamaFlags, devices: Sequence[Device]) -> tuple[tuple[int, ...], int]:
    """The device of each block, and of the output layer. ``-ngl`` counts the output layer as one."""
    wanted = blocks + 1 if flags.gpu_layers is None else flags.gpu_layers
    start = max(blocks + 1 - wanted, 0)
    active = min(wanted, blocks + 1) if devices else 0
    bounds = split_bounds(flags, devices)
    every = [
        bisect_right(bounds, (index - start) / active) if active and 0 <= index - start < active else HOST_ID
        for index in range(blocks + 1)
    ]
    every = [min(device, len(devices) - 1) for device in every]
    return tuple(every[:-1]), every[-1]


def split_bounds(flags: LlamaFlags, devices: Sequence[Device]) -> list[float]:
    """Running sum of the proportions, ending in 1. Without -ts: by free memory, evenly if unknown."""
    parts = [float(part) for part in flags.tensor_split[: len(devices)]]
    parts += [0.0] * (len(devices) - len(parts))
    if not any(parts):
        free = [device.gpu.memory_free_bytes or device.gpu.memory_total_bytes for device in devices]
        parts = [float(one) for one in free if one] if all(free) else [1.0] * len(devices)
    total, bounds = sum(parts), []
    running = 0.0
    for part in parts:
        running += part
        bounds.append(running / total)
    return bounds


Rule = tuple[re.Pattern[str], int]


def overrides(flags: LlamaFlags, devices: Sequence[Device]) -> tuple[Rule, ...]:
    """-ot pairs first, as they stand on the line, then the experts that stay on the CPU."""
    rules = [(re.compile(pattern), _buffer(name, devices, flags.rpc)) for pattern, name in flags.overrides]
    if flags.cpu_moe:
        rules.append((re.compile(EXPERTS), HOST_ID))
    elif flags.n_cpu_moe:
        numbers = "|".join(str(number) for number in range(flags.n_cpu_moe))
        rules.append((re.compile(rf"blk\.({numbers}){EXPERTS}"), HOST_ID))
    return tuple(rules)


def _buffer(name: str, devices: Sequence[Device], servers: Sequence[str]) -> int:
    """``CUDA1`` is the second device, anything of the CPU the host; ``RPC0[host:port]`` the first device of
    that server, and servers stand before what is in the box. Source: ``ggml_backend_rpc_buffer_type``."""
    if name in HOST_BUFFERS or name.upper().startswith("CPU"):
        return HOST_ID
    found = re.search(r"^[A-Za-z]+(\d+)(?:\[(.*)\])?", name)
    index = int(found.group(1)) if found else 0
    if found and found.group(2) in servers:
        index += servers.index(found.group(2))
    return index if index < len(devices) else HOST_ID


def _device_of(name: str, layer_device: Sequence[int], output: int, rules: Sequence[Rule]) -> int:
    number = block_of(name)
    if number is not None:
        own = layer_device[number] if number < len(layer_device) else output
    elif name.partition(".")[0] in FIRST_LAYER and layer_device:
        own = layer_device[0]
    else:
        own = HOST_ID if name.partition(".")[0] in INPUT else output
    return _by_rule(name, rules, own)


def _by_rule(name: str, rules: Sequence[Rule], own: int) -> int:
    for pattern, device in rules:
        if pattern.search(name):
            return device
    return own


@lru_cache(maxsize=1 << 16)
def expert_layer(name: str) -> int | None:
    """The block whose routed experts this tensor holds, else ``None``."""
    found = _EXPERTS_OF_LAYER.match(name)
    return int(found.group(1)) if found else None
