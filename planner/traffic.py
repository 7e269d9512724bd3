"""Bytes and arithmetic of one token per device: what decode reads, what prefill multiplies."""

from dataclasses import dataclass

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
    found = {}
    share = hparams.experts_used / hparams.experts if hparams.experts else 1.0
    for device in (HOST_ID, *range(len(placement.devices))):
        found[device] = _of(device, shape, hparams, run, placement, depth_tokens, share)
    return found


def _of(
    device: int,
    shape: ModelShape,
    hparams: Hparams,
    run: Resolved,
    placement: Placement,
    depth_tokens: int,
    share: float,
) -> Traffic:
    weight_bytes = flops = 0.0
    expert_bytes = dense_bytes = 0
    moe_layers: set[int] = set()
    for tensor in shape.tensors:
        layer = expert_layer(tensor.name)
        if _reads(tensor, device, placement):
            part = share if layer is not None else 1.0
            weight_bytes += tensor.size_bytes * part
            if len(tensor.shape) > 1:
                flops += 2.0 * values(tensor) * part
            if layer is None:
                dense_bytes += tensor.size_bytes
            else:
                expert_bytes += tensor.size_bytes
                moe_layers.add(layer)
    own = [one for one, at in zip(hparams.layers, placement.layer_device, strict=True) if at == device]
    kv_device = device if run.kv_offload else HOST_ID
    reads = own if kv_device == device else []
    if not run.kv_offload and device == HOST_ID:
        reads = list(hparams.layers)
    kv_bytes = sum(kv.read_bytes(one, hparams, run, depth_tokens) for one in reads)
    return Traffic(weight_bytes, kv_bytes, flops, len(own), len(moe_layers), expert_bytes, dense_bytes)


def _reads(tensor: Tensor, device: int, placement: Placement) -> bool:
    """Whether this device multiplies by the tensor for each token."""
    if tensor.name == "token_embd.weight" and "output.weight" not in placement.tensor_device:
        return device == placement.output
    return tensor.name not in LOOKED_UP and placement.tensor_device[tensor.name] == device


def values(tensor: Tensor) -> int:
    product = 1
    for dim in tensor.shape:
        product *= dim
    return product
