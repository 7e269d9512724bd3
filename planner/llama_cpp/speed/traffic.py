"""Bytes and arithmetic of one token per device: what decode reads, what prefill multiplies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from domain.model import ModelShape, Tensor
from planner.llama_cpp import kv_cache
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import HOST_ID, Placement, block_of, expert_layer
from planner.model.hparams import Hparams, Layer

# A row of the embedding is looked up, the whole is never read.
LOOKED_UP = frozenset({"token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight"})


@dataclass(slots=True)
class Traffic:
    """What one device does for a token. ``dense`` and ``experts``: stored bytes by type; a token reads
    all of ``dense`` and ``share`` of ``experts``. ``prompt_flops`` of the matrices that each token of a
    prompt passes (not the output's: one row a prompt), ``expert_flops`` of routed experts alone;
    ``kv_bytes`` and ``attention_flops`` at the depth that was asked for. ``lent_layers``: blocks whose
    experts stand here and whose attention stands elsewhere. ``is_latent``: all heads of a layer share
    one wide row of the cache (MLA)."""

    dense: dict[str, int] = field(default_factory=dict)
    experts: dict[str, int] = field(default_factory=dict)
    share: float = 1.0
    prompt_flops: float = 0.0
    expert_flops: float = 0.0
    kv_bytes: float = 0.0
    attention_flops: float = 0.0
    prompt_attention_flops: float = 0.0
    layers: int = 0
    tensors: int = 0
    moe_layers: int = 0
    lent_layers: int = 0
    is_latent: bool = False

    @property
    def is_idle(self) -> bool:
        return not self.dense and not self.experts and not self.kv_bytes

    def touched(self, tokens: int) -> float:
        """The share of experts that a batch of tokens hits, each token choosing at random."""
        return 1.0 - (1.0 - self.share) ** tokens


def per_device(
    shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement, depth_tokens: int
) -> dict[int, Traffic]:
    """By device number. Blocks that only predict further tokens are not run."""
    share = hparams.experts_used / hparams.experts if hparams.experts else 1.0
    sums = {
        device: Traffic(share=share, is_latent=hparams.is_mla)
        for device in (HOST_ID, *range(len(placement.devices)))
    }
    moe: dict[int, set[int]] = {device: set() for device in sums}
    tied = "output.weight" not in placement.tensor_device
    for tensor, block, expert, flops in _multiplied(shape.tensors):
        if block is not None and block >= hparams.trunk:
            continue
        device = _reader(tensor, placement, tied=tied)
        if device is None:
            continue
        one = sums[device]
        one.tensors += 1
        if expert is None:
            one.dense[tensor.type] = one.dense.get(tensor.type, 0) + tensor.size_bytes
            one.prompt_flops += flops if block is not None else 0.0
        else:
            one.experts[tensor.type] = one.experts.get(tensor.type, 0) + tensor.size_bytes
            one.expert_flops += flops * share
            moe[device].add(expert)
    for device, blocks in moe.items():
        sums[device].moe_layers = len(blocks)
        sums[device].lent_layers = sum(placement.layer_device[block] != device for block in blocks)
    _add_attention(sums, hparams, run, placement, depth_tokens)
    return sums


def _add_attention(
    sums: Mapping[int, Traffic], hparams: Hparams, run: ContextParams, placement: Placement, depth_tokens: int
) -> None:
    middle = depth_tokens + run.ubatch // 2  # of the tokens of a ubatch
    for layer, device in list(zip(hparams.layers, placement.layer_device, strict=True))[: hparams.trunk]:
        sums[device].layers += 1
        home = sums[device if run.kv_offload else HOST_ID]
        home.kv_bytes += kv_cache.read_bytes(layer, hparams, run, depth_tokens)
        home.attention_flops += _attention_flops(layer, depth_tokens)
        home.prompt_attention_flops += _attention_flops(layer, middle)


def _attention_flops(layer: Layer, depth_tokens: int) -> float:
    """Scores and their product with V, for each head: 2 operations a value."""
    if not layer.has_kv:
        return 0.0
    seen = min(depth_tokens, layer.window) if layer.window else depth_tokens
    return 2.0 * layer.heads * (layer.key_dim + layer.value_dim) * seen


@lru_cache(maxsize=8)
def _multiplied(tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, int | None, int | None, float], ...]:
    """Each tensor with its block, the block whose experts it holds, and the operations of one token."""
    return tuple(_with_flops(tensors))


def _with_flops(tensors: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, int | None, int | None, float]]:
    for tensor in tensors:
        flops = 2.0 * prod(tensor.shape) if len(tensor.shape) > 1 else 0.0
        yield tensor, block_of(tensor.name), expert_layer(tensor.name), flops


def _reader(tensor: Tensor, placement: Placement, *, tied: bool) -> int | None:
    """The device that multiplies by the tensor for each token."""
    if tensor.name == "token_embd.weight" and tied:
        return placement.output
    return None if tensor.name in LOOKED_UP else placement.tensor_device[tensor.name]
