"""The transformer blocks of an image encoder.

Source: llama.cpp ``clip_graph::build_vit``, and the loops of ``clip_graph_qwen2vl`` and
``clip_graph_qwen3vl``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.encoder import Encoder
from planner.llama_cpp.graph.tensor import F32, Tensor, dims


@dataclass(slots=True)
class TransformerStack:
    """``rope`` rotates Q and K. ``mask``: within what a block attends, except every
    ``full_attention_every``-th. ``clamps``: whether the inputs and outputs of matrices are clamped.
    ``deepstack`` is a result: what some blocks hand to the language model in addition to the last."""

    rope: Callable[[Tensor], Tensor] | None = None
    mask: Tensor | None = None
    full_attention_every: int = 1
    norms_values: bool = False
    clamps: bool = False
    deepstack: Tensor | None = field(default=None, init=False)


def blocks(encoder: Encoder, source: Tensor, stack: TransformerStack) -> Tensor:
    """(width, tokens), after the final norm."""
    cur = op.reshape(source, encoder.width, source.ne[1])
    if encoder.has("v.pre_ln.weight"):
        cur = encoder.norm(cur, "v.pre_ln")
    for block in range(encoder.blocks):
        cur = _block(encoder, cur, block, stack)
    if encoder.has("v.post_ln.weight"):
        cur = encoder.norm(cur, "v.post_ln")
    return op.reshape(cur, encoder.width, cur.ne[1])


def _block(encoder: Encoder, source: Tensor, block: int, stack: TransformerStack) -> Tensor:
    name = f"v.blk.{block}"
    cur = _attention(encoder, encoder.norm(source, f"{name}.ln1"), block, stack)
    cur = _scale_and_norm(encoder, cur, f"{name}.ls1", f"{name}.attn_post_norm")
    source = op.like("add", cur, source)
    cur = encoder.norm(source, f"{name}.ln2")
    up, down = f"{name}.ffn_up", f"{name}.ffn_down"
    if encoder.weight(f"{down}.weight").ne[0] == encoder.width:
        up, down = down, up  # older files have the two swapped
    cur = encoder.feed_forward(cur, up, down, f"{name}.ffn_gate", clamps=stack.clamps)
    cur = _scale_and_norm(encoder, cur, f"{name}.ls2", f"{name}.ffn_post_norm")
    cur = op.like("add", source, cur)
    if encoder.has(f"v.deepstack.{block}.norm.weight"):
        _add_deepstack(encoder, cur, block, stack)
    return cur


def _scale_and_norm(encoder: Encoder, source: Tensor, scale: str, norm: str) -> Tensor:
    if encoder.has(f"{scale}.weight"):
        source = op.like("mul", source, encoder.weight(f"{scale}.weight"))
    return encoder.norm(source, norm) if encoder.has(f"{norm}.weight") else source


def _attention(encoder: Encoder, source: Tensor, block: int, stack: TransformerStack) -> Tensor:
    name = f"v.blk.{block}"
    q, k, v = _qkv(encoder, source, name, stack)
    if stack.rope is not None:
        q, k = stack.rope(q), stack.rope(k)
    if stack.norms_values:
        v = op.like("rms_norm", v)
    mask = None if (block + 1) % stack.full_attention_every == 0 else stack.mask
    cur = encoder.attend(q, k, v, mask)
    return encoder.linear(cur, f"{name}.attn_out", clamps=stack.clamps)


def _qkv(
    encoder: Encoder, source: Tensor, name: str, stack: TransformerStack
) -> tuple[Tensor, Tensor, Tensor]:
    heads, tokens = encoder.heads, source.ne[1]
    width = encoder.width // heads
    norms = (f"{name}.attn_q_norm", f"{name}.attn_k_norm", "")
    if encoder.has(f"{name}.attn_qkv.weight"):
        qkv = encoder.linear(source, f"{name}.attn_qkv", clamps=stack.clamps)
        steps = (F32, width * F32, qkv.nb[1], qkv.nb[1] * tokens)
        parts = [op.view(qkv, dims(width, heads, tokens), steps) for _ in range(3)]
        q, k, v = (_norm(encoder, part, norm) for part, norm in zip(parts, norms, strict=True))
        return q, k, v
    parts = [encoder.linear(source, f"{name}.attn_{q_k_or_v}", clamps=stack.clamps) for q_k_or_v in "qkv"]
    parts = [_norm(encoder, part, norm) for part, norm in zip(parts, norms, strict=True)]
    parts = [op.reshape(part, width, heads, tokens) for part in parts]
    q, k, v = (_norm(encoder, part, norm) for part, norm in zip(parts, norms, strict=True))
    return q, k, v


def _norm(encoder: Encoder, source: Tensor, norm: str) -> Tensor:
    """The norm, if the file has one as wide as ``source``: over all heads, or over each."""
    if not encoder.has(f"{norm}.weight") or encoder.weight(f"{norm}.weight").ne[0] != source.ne[0]:
        return source
    return encoder.norm(source, norm)


def _add_deepstack(encoder: Encoder, source: Tensor, block: int, stack: TransformerStack) -> None:
    name = f"v.deepstack.{block}"
    width = encoder.weight(f"{name}.norm.weight").ne[0]
    cur = op.reshape(source, width, source.ne[0] * source.ne[1] // width)
    cur = encoder.norm(cur, f"{name}.norm")
    cur = encoder.feed_forward(cur, f"{name}.fc1", f"{name}.fc2")
    stack.deepstack = cur if stack.deepstack is None else op.concat(stack.deepstack, cur, 0)
