"""Bytes and arithmetic of one token per device: what decode reads and prefill multiplies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import prod

from domain.models.model import ModelShape, Tensor
from planner.identity_cache import cached_by_identity
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.memory import kv_cache
from planner.llama_cpp.placement import HOST_ID, LOOKUP_TENSORS, Placement, block_of, expert_layer
from planner.model.hparams import Hparams, Layer


@dataclass(slots=True)
class Workload:
    """What one device does for a token.

    ``dense_bytes`` and ``expert_bytes``: stored bytes by type; a token reads all of ``dense_bytes`` and
    ``expert_share`` of ``expert_bytes``. ``dense_flops``: of matrices that each token of a prompt passes,
    which the output is not (one row a prompt). ``expert_flops``: of routed experts alone. ``kv_bytes`` and
    ``attention_flops`` at the requested depth. ``detached_expert_layers``: blocks whose experts are on this
    device and whose attention is on another. ``is_mla``: all heads of a layer share one wide row of the
    cache."""

    dense_bytes: dict[str, int] = field(default_factory=dict)
    expert_bytes: dict[str, int] = field(default_factory=dict)
    expert_share: float = 1.0
    dense_flops: float = 0.0
    expert_flops: float = 0.0
    kv_bytes: float = 0.0
    attention_flops: float = 0.0
    prefill_attention_flops: float = 0.0
    layers: int = 0
    recurrent_layers: int = 0
    tensors: int = 0
    moe_layers: int = 0
    detached_expert_layers: int = 0
    is_mla: bool = False

    @property
    def is_idle(self) -> bool:
        return not self.dense_bytes and not self.expert_bytes and not self.kv_bytes

    def touched_share(self, tokens: int) -> float:
        """The share of experts that a batch of ``tokens`` uses, if each token chooses at random."""
        return 1.0 - (1.0 - self.expert_share) ** tokens

    def read_bytes(self, tokens: int) -> float:
        """Weights that a batch of ``tokens`` reads."""
        return sum(self.dense_bytes.values()) + sum(self.expert_bytes.values()) * self.touched_share(tokens)


def device_workloads(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    placement: Placement,
    depth_tokens: int,
    *,
    is_mtp: bool = False,
) -> dict[int, Workload]:
    """By device number. Multi-token-prediction blocks are not run, or with ``is_mtp`` the first of them
    alone."""
    first, last = (hparams.main_blocks, hparams.main_blocks + 1) if is_mtp else (0, hparams.main_blocks)
    expert_share = hparams.experts_used / hparams.expert_count if hparams.expert_count else 1.0
    workloads = {
        device: Workload(expert_share=expert_share, is_mla=hparams.is_mla)
        for device in (HOST_ID, *range(len(placement.devices)))
    }
    moe_blocks: dict[int, set[int]] = {device: set() for device in workloads}
    is_tied = "output.weight" not in placement.tensor_device
    for tensor, block, expert_block, flops in _annotated(shape.tensors):
        if block is not None and not first <= block < last:
            continue
        device = _computing_device(tensor, placement, is_tied=is_tied)
        if device is None:
            continue
        workload = workloads[device]
        workload.tensors += not tensor.name.endswith(".bias")
        by_type = workload.dense_bytes if expert_block is None else workload.expert_bytes
        by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.size_bytes
        if expert_block is None:
            workload.dense_flops += flops if block is not None else 0.0
        else:
            workload.expert_flops += flops * expert_share
            moe_blocks[device].add(expert_block)
    for device, blocks in moe_blocks.items():
        workloads[device].moe_layers = len(blocks)
        workloads[device].detached_expert_layers = sum(
            placement.layer_device[block] != device for block in blocks
        )
    _add_attention(workloads, hparams, cparams, placement, depth_tokens, range(first, last))
    return workloads


def busy_devices(workloads: Mapping[int, Workload]) -> dict[int, Workload]:
    return {device: workload for device, workload in workloads.items() if not workload.is_idle}


def sum_over_devices(
    workloads: Mapping[int, Workload], seconds: Callable[[int, Workload], float | None]
) -> float | None:
    """Seconds of all devices, which work one after the other; ``None`` if those of one are not known."""
    total_s = 0.0
    for device, workload in workloads.items():
        device_s = seconds(device, workload)
        if device_s is None:
            return None
        total_s += device_s
    return total_s


def _add_attention(
    workloads: Mapping[int, Workload],
    hparams: Hparams,
    cparams: ContextParams,
    placement: Placement,
    depth_tokens: int,
    blocks: range,
) -> None:
    mean_depth = depth_tokens + cparams.ubatch // 2  # of the tokens of a ubatch
    for layer, device in islice(
        zip(hparams.layers, placement.layer_device, strict=True), blocks.start, blocks.stop
    ):
        workloads[device].layers += 1
        workloads[device].recurrent_layers += layer.is_recurrent
        attention = workloads[device if cparams.kv_offload else HOST_ID]
        attention.kv_bytes += kv_cache.read_bytes(layer, hparams, cparams, depth_tokens)
        attention.attention_flops += _attention_flops(layer, depth_tokens)
        attention.prefill_attention_flops += _attention_flops(layer, mean_depth)


def _attention_flops(layer: Layer, depth_tokens: int) -> float:
    """Scores and their product with V, for each head: 2 operations per value."""
    if not layer.has_kv:
        return 0.0
    visible_tokens = min(depth_tokens, layer.window) if layer.window else depth_tokens
    return 2.0 * layer.heads * (layer.key_dim + layer.value_dim) * visible_tokens


@cached_by_identity(32)
def _annotated(tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, int | None, int | None, float], ...]:
    """Each tensor with its block, the block whose experts it holds, and its operations per token."""
    return tuple(_annotate(tensors))


def _annotate(tensors: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, int | None, int | None, float]]:
    for tensor in tensors:
        flops = 2.0 * prod(tensor.shape) if len(tensor.shape) > 1 else 0.0
        yield tensor, block_of(tensor.name), expert_layer(tensor.name), flops


def _computing_device(tensor: Tensor, placement: Placement, *, is_tied: bool) -> int | None:
    """The device that multiplies by the tensor for each token."""
    if tensor.name == "token_embd.weight" and is_tied:
        return placement.output
    return None if tensor.name in LOOKUP_TENSORS else placement.tensor_device[tensor.name]
