"""The device of each tensor, for any -ngl, -ts, -sm, -mg, -ot and experts on the CPU.

Source: llama.cpp ``llama_model_base::load_tensors`` (layers by the running sum of the split, the input
on the host), ``llama_model_loader::create_tensor`` (overrides, first match) and ``common/common.h``.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from domain.launches.plan import LlamaFlags
from domain.models.classification import has_output_layer
from domain.models.model import ModelShape, Tensor
from planner.identity_cache import cached_by_identity
from planner.llama_cpp.context_params import MTP
from planner.llama_cpp.tensor_patterns import TensorPattern
from planner.machine.devices import Device
from planner.model.hparams import Hparams

HOST_ID = -1
TENSORS_KEPT = 32  # models whose tensors are looked at once
TENSORS = 1 << 17  # as many as a GGUF file may have; a cache that is too small for a model is none
EXPERT_TENSORS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
BLOCK_NUMBER = re.compile(r"^blk\.(\d+)\.")
BLOCK_OF_EXPERTS = re.compile(r"^blk\.(\d+)" + EXPERT_TENSORS)
# Tensors of the input layer; all others without a block number belong to the output.
INPUT_TENSORS = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
# Tensors without a block number that belong to the first layer. Source: ``llm_tensor_info`` of llama.cpp.
FIRST_LAYER_TENSORS = frozenset(
    {"rope_freqs", "rope_factors_long", "rope_factors_short", "per_layer_model_proj", "per_layer_proj_norm"}
)
INPUT, FIRST_LAYER, OUTPUT = "input", "first layer", "output"
# Of these a token reads one row, never the whole.
LOOKUP_TENSORS = frozenset({"token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight"})
# Architectures that load the output's copy of the embedding before the embedding, so that one device holds
# both. Source: the order of their ``load_arch_tensors``.
EMBEDDING_COPIED_FIRST = frozenset({"gemma3n", "gemma4"})
# Buffer types of -ot that are host memory.
HOST_BUFFERS = ("CPU", "CUDA_Host", "Vulkan_Host", "CPU_REPACK", "Host")


@dataclass(frozen=True, slots=True)
class Placement:
    """Device numbers index ``devices``; ``HOST_ID`` is the host.

    ``layer_device``: the device of each block; ``output``: that of the output layer. ``tensor_device``: by
    tensor name. ``weights``: bytes by device. ``duplicated``: bytes of a tied embedding that two devices
    hold. ``block_devices``: the device of each tensor of a block, in file order. ``computes_on_host``:
    whether a weight there is multiplied, not only looked up row by row."""

    devices: tuple[Device, ...]
    layer_device: tuple[int, ...]
    output: int
    tensor_device: dict[str, int]
    weights: dict[int, int]
    has_overrides: bool
    duplicated: int
    block_devices: tuple[tuple[int, ...], ...] = ()
    computes_on_host: bool = True


def place_tensors(
    shape: ModelShape, hparams: Hparams, flags: LlamaFlags, devices: Sequence[Device]
) -> Placement:
    layer_device, output = layer_devices(len(hparams.layers), flags, devices)
    rules = override_rules(flags, devices)
    tensor_device: dict[str, int] = {}
    weights = dict.fromkeys([HOST_ID, *range(len(devices))], 0)
    is_tied = has_tied_embedding(shape)
    copies_always = shape.architecture in EMBEDDING_COPIED_FIRST or not hparams.is_known
    duplicated, computes_on_host = 0, False
    block_devices: list[list[int]] = [[] for _ in layer_device]
    for name, size_bytes, block, end in _located(shape.tensors):
        if block is not None and block >= hparams.main_blocks and MTP not in flags.speculative:
            continue  # multi-token prediction is not loaded unless it drafts
        device = _default_device(block, end, layer_device, output)
        if rules:
            device = _overridden(name, rules, device)
        tensor_device[name] = device
        weights[device] += size_bytes
        computes_on_host = computes_on_host or (device == HOST_ID and name not in LOOKUP_TENSORS)
        if block is not None:
            block_devices[block].append(device)
        if is_tied and name == "token_embd.weight" and (output != HOST_ID or copies_always):
            copy_device = _overridden("token_embd.weight", rules, output)
            if copy_device != device or copies_always:
                weights[copy_device] += size_bytes
                duplicated = size_bytes
    return Placement(
        devices=tuple(devices),
        layer_device=layer_device,
        output=output,
        tensor_device=tensor_device,
        weights=weights,
        has_overrides=bool(rules),
        duplicated=duplicated,
        block_devices=tuple(tuple(numbers) for numbers in block_devices),
        computes_on_host=computes_on_host or output == HOST_ID,
    )


@cached_by_identity(TENSORS_KEPT)
def _located(tensors: tuple[Tensor, ...]) -> tuple[tuple[str, int, int | None, str], ...]:
    """Of each tensor: name, bytes, its block, and the end of the model where it belongs if it has none."""
    return tuple(
        (tensor.name, tensor.size_bytes, block_of(tensor.name), _end_of(tensor.name)) for tensor in tensors
    )


def _end_of(name: str) -> str:
    first = name.partition(".")[0]
    if first in FIRST_LAYER_TENSORS:
        return FIRST_LAYER
    return INPUT if first in INPUT_TENSORS else OUTPUT


def has_tied_embedding(shape: ModelShape) -> bool:
    """Whether the embedding is also the output matrix."""
    return has_output_layer(shape) and all(tensor.name != "output.weight" for tensor in shape.tensors)


@lru_cache(maxsize=TENSORS)
def block_of(name: str) -> int | None:
    match = BLOCK_NUMBER.match(name)
    return int(match.group(1)) if match else None


def layer_devices(blocks: int, flags: LlamaFlags, devices: Sequence[Device]) -> tuple[tuple[int, ...], int]:
    """The device of each block, and of the output layer. ``-ngl`` counts the output layer as one."""
    layers = blocks + 1
    wanted = layers if flags.gpu_layers is None else flags.gpu_layers
    first = max(layers - wanted, 0)
    gpu_layers = min(wanted, layers) if devices else 0
    bounds = split_bounds(flags, devices)

    def device_of(layer: int) -> int:
        if not gpu_layers or not 0 <= layer - first < gpu_layers:
            return HOST_ID
        return min(bisect_right(bounds, (layer - first) / gpu_layers), len(devices) - 1)

    *block_devices, output = (device_of(layer) for layer in range(layers))
    return tuple(block_devices), output


def split_bounds(flags: LlamaFlags, devices: Sequence[Device]) -> list[float]:
    """Running sum of the proportions, ending in 1. Without -ts: by free memory, evenly if unknown."""
    parts = [float(part) for part in flags.tensor_split[: len(devices)]]
    parts += [0.0] * (len(devices) - len(parts))
    if not any(parts):
        sizes = [_free_bytes(device) for device in devices]
        known = [float(size) for size in sizes if size is not None]
        parts = known if len(known) == len(sizes) and any(known) else [1.0] * len(devices)
    total = sum(parts)
    return [running / total for running in accumulate(parts)]


def _free_bytes(device: Device) -> int | None:
    free_bytes = device.gpu.memory_free_bytes
    return device.gpu.memory_total_bytes if free_bytes is None else free_bytes


@dataclass(frozen=True, slots=True)
class ExpertsOfLayers:
    """Routed experts of the first ``layers``, or of all: what ``--n-cpu-moe`` and ``--cpu-moe`` mean. No
    pattern of the owner's, and looked at for each tensor of each command line."""

    layers: int | None = None

    def is_in(self, name: str) -> bool:
        layer = expert_layer(name)
        return layer is not None and (self.layers is None or layer < self.layers)


Rule = tuple[TensorPattern | ExpertsOfLayers, int]


def override_rules(flags: LlamaFlags, devices: Sequence[Device]) -> tuple[Rule, ...]:
    """-ot pairs in the order of the command line, then the experts that stay on the CPU."""
    rules: list[Rule] = [
        (TensorPattern(pattern), _buffer_device(name, devices, flags.rpc))
        for pattern, name in flags.overrides
    ]
    if flags.cpu_moe or flags.n_cpu_moe:
        rules.append((ExpertsOfLayers(None if flags.cpu_moe else flags.n_cpu_moe), HOST_ID))
    return tuple(rules)


def _buffer_device(name: str, devices: Sequence[Device], rpc_servers: Sequence[str]) -> int:
    """``CUDA1`` is the second device, any CPU buffer the host, ``RPC0[host:port]`` the first device of that
    server; RPC servers come before local devices. Source: ``ggml_backend_rpc_buffer_type``."""
    if name in HOST_BUFFERS or name.upper().startswith("CPU"):
        return HOST_ID
    match = re.search(r"^[A-Za-z]+(\d{1,9})(?:\[(.*)\])?", name)
    index = int(match.group(1)) if match else 0
    if match and match.group(2) in rpc_servers:
        index += rpc_servers.index(match.group(2))
    return index if index < len(devices) else HOST_ID


def _default_device(block: int | None, end: str, layer_device: Sequence[int], output: int) -> int:
    if block is not None:
        return layer_device[block] if block < len(layer_device) else output
    if end == FIRST_LAYER and layer_device:
        return layer_device[0]
    return HOST_ID if end == INPUT else output


def _overridden(name: str, rules: Sequence[Rule], default_device: int) -> int:
    for pattern, device in rules:
        if pattern.is_in(name):
            return device
    return default_device


@lru_cache(maxsize=TENSORS)
def expert_layer(name: str) -> int | None:
    """The block whose routed experts this tensor holds; ``None`` for all other tensors."""
    match = BLOCK_OF_EXPERTS.match(name)
    return int(match.group(1)) if match else None
