"""The blocks of an image encoder, between its patches and what makes tokens of them.

Source: llama.cpp ``clip_graph::build_vit``, and the loops of ``clip_graph_qwen2vl`` and
``clip_graph_qwen3vl``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.encoder import Encoder
from planner.llama_cpp.graph.tensor import F32, Tensor, dims


@dataclass(slots=True)
class Stack:
    """``rotate`` turns Q and K; ``mask`` says what a block may look at, but for each ``whole_every``;
    ``clamped`` bounds what enters and leaves each matrix; ``deep`` is what some blocks hand to the language
    model beside the last."""

    rotate: Callable[[Tensor], Tensor] | None = None
    mask: Tensor | None = None
    whole_every: int = 1
    normed_values: bool = False
    clamped: bool = False
    deep: Tensor | None = field(default=None, init=False)


def blocks(encoder: Encoder, source: Tensor, stack: Stack) -> Tensor:
    """(width, tokens), after the last norm."""
    made = op.reshape(source, encoder.width, source.ne[1])
    if encoder.has("v.pre_ln.weight"):
        made = encoder.norm(made, "v.pre_ln", centred=encoder.is_centred)
    for number in range(encoder.blocks):
        made = _block(encoder, made, number, stack)
    if encoder.has("v.post_ln.weight"):
        made = encoder.norm(made, "v.post_ln", centred=encoder.is_centred)
    return op.reshape(made, encoder.width, made.ne[1])


def _block(encoder: Encoder, source: Tensor, number: int, stack: Stack) -> Tensor:
    name = f"v.blk.{number}"
    made = _attention(encoder, encoder.norm(source, f"{name}.ln1", centred=encoder.is_centred), number, stack)
    made = _finished(encoder, made, f"{name}.ls1", f"{name}.attn_post_norm")
    source = op.like("add", made, source)
    made = encoder.norm(source, f"{name}.ln2", centred=encoder.is_centred)
    up, down = f"{name}.ffn_up", f"{name}.ffn_down"
    if encoder.weight(f"{down}.weight").ne[0] == encoder.width:
        up, down = down, up  # older files have them the other way round
    made = encoder.feed_forward(made, up, down, f"{name}.ffn_gate", clamped=stack.clamped)
    made = _finished(encoder, made, f"{name}.ls2", f"{name}.ffn_post_norm")
    made = op.like("add", source, made)
    if encoder.has(f"v.deepstack.{number}.norm.weight"):
        _deepen(encoder, made, number, stack)
    return made


def _finished(encoder: Encoder, source: Tensor, scale: str, norm: str) -> Tensor:
    if encoder.has(f"{scale}.weight"):
        source = op.like("mul", source, encoder.weight(f"{scale}.weight"))
    return encoder.norm(source, norm, centred=encoder.is_centred) if encoder.has(f"{norm}.weight") else source


def _attention(encoder: Encoder, source: Tensor, number: int, stack: Stack) -> Tensor:
    name = f"v.blk.{number}"
    q, k, v = _heads(encoder, source, name, stack)
    if stack.rotate is not None:
        q, k = stack.rotate(q), stack.rotate(k)
    if stack.normed_values:
        v = op.like("rms_norm", v)
    mask = None if (number + 1) % stack.whole_every == 0 else stack.mask
    made = encoder.attend(q, k, v, mask)
    return encoder.linear(made, f"{name}.attn_out", clamped=stack.clamped)


def _heads(encoder: Encoder, source: Tensor, name: str, stack: Stack) -> tuple[Tensor, Tensor, Tensor]:
    heads, tokens = encoder.heads, source.ne[1]
    width = encoder.width // heads
    norms = (f"{name}.attn_q_norm", f"{name}.attn_k_norm", "")
    if encoder.has(f"{name}.attn_qkv.weight"):
        fused = encoder.linear(source, f"{name}.attn_qkv", clamped=stack.clamped)
        steps = (F32, width * F32, fused.nb[1], fused.nb[1] * tokens)
        parts = [op.view(fused, dims(width, heads, tokens), steps) for _ in range(3)]
        q, k, v = (_normed(encoder, part, norm) for part, norm in zip(parts, norms, strict=True))
        return q, k, v
    parts = [encoder.linear(source, f"{name}.attn_{which}", clamped=stack.clamped) for which in "qkv"]
    parts = [_normed(encoder, part, norm) for part, norm in zip(parts, norms, strict=True)]
    parts = [op.reshape(part, width, heads, tokens) for part in parts]
    q, k, v = (_normed(encoder, part, norm) for part, norm in zip(parts, norms, strict=True))
    return q, k, v


def _normed(encoder: Encoder, source: Tensor, norm: str) -> Tensor:
    """Over all heads, or over each: where the norm is as wide as what it is for."""
    if not encoder.has(f"{norm}.weight") or encoder.weight(f"{norm}.weight").ne[0] != source.ne[0]:
        return source
    return encoder.norm(source, norm, centred=encoder.is_centred)


def _deepen(encoder: Encoder, source: Tensor, number: int, stack: Stack) -> None:
    name = f"v.deepstack.{number}"
    width = encoder.weight(f"{name}.norm.weight").ne[0]
    made = op.reshape(source, width, source.ne[0] * source.ne[1] // width)
    made = encoder.norm(made, f"{name}.norm", centred=encoder.is_centred)
    made = encoder.feed_forward(made, f"{name}.fc1", f"{name}.fc2")
    stack.deep = made if stack.deep is None else op.concat(stack.deep, made, 0)
