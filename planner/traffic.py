"""Bytes and arithmetic of one token per device: what decode reads, what prefill multiplies."""

from dataclasses import dataclass
from math import prod

from domain.model import ModelShape, Tensor
from planner import kv
from planner.hparams import Hparams
from planner.placement import HOST_ID, Placement, expert_layer
from planner.resolved import Resolved

# A row of the embedding is looked up, the whole is never read.
LOOKED_UP = frozenset({"token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight"})


@dataclass(frozen=True, slots=True)
class Traffic:
    """Per token. ``flops`` of matrices; ``layers`` on the device; ``expert_bytes`` all that its experts
    take (streamed during prefill), ``kv_bytes`` read at the depth that was asked for."""

    weight_bytes: float
    kv_bytes: float
    flops: float
    layers: int
    moe_layers: int
    expert_bytes: int
    dense_bytes: int

    @property
    def stored_bytes(self) -> int:
        """What a prompt of many tokens reads once a ubatch: nearly all experts are hit by some token."""
        return self.expert_bytes + self.dense_bytes


def per_device(
    shape: ModelShape, hparams: Hparams, run: Resolved, placement: Placement, depth_tokens: int
) -> dict[int, Traffic]:
    share = hparams.experts_used / hparams.experts if hparams.experts else 1.0
    sums = {device: _Sum() for device in (HOST_ID, *range(len(placement.devices)))}
    tied = "output.weight" not in placement.tensor_device
    for tensor in shape.tensors:
        device = _reader(tensor, placement, tied=tied)
        if device is not None:
            sums[device].add(tensor, expert_layer(tensor.name), share)
    for layer, device in zip(hparams.layers, placement.layer_device, strict=True):
        sums[device].layers += 1
        home = device if run.kv_offload else HOST_ID
        sums[home].kv_bytes += kv.read_bytes(layer, hparams, run, depth_tokens)
    return {device: one.traffic() for device, one in sums.items()}


class _Sum:
    """What is added up for one device."""

    def __init__(self) -> None:
        self.weight_bytes = self.kv_bytes = self.flops = 0.0
        self.expert_bytes = self.dense_bytes = self.layers = 0
        self.moe_layers: set[int] = set()

    def add(self, tensor: Tensor, expert: int | None, share: float) -> None:
        part = 1.0 if expert is None else share
        self.weight_bytes += tensor.size_bytes * part
        if len(tensor.shape) > 1:
            self.flops += 2.0 * prod(tensor.shape) * part
        if expert is None:
            self.dense_bytes += tensor.size_bytes
        else:
            self.expert_bytes += tensor.size_bytes
            self.moe_layers.add(expert)

    def traffic(self) -> Traffic:
        return Traffic(
            self.weight_bytes,
            self.kv_bytes,
            self.flops,
            self.layers,
            len(self.moe_layers),
            self.expert_bytes,
            self.dense_bytes,
        )


def _reader(tensor: Tensor, placement: Placement, *, tied: bool) -> int | None:
    """The device that multiplies by the tensor for each token."""
    if tensor.name == "token_embd.weight" and tied:
        return placement.output
    return None if tensor.name in LOOKED_UP else placement.tensor_device.get(tensor.name)
