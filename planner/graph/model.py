"""The graph of one batch through a whole model, for architectures built like a transformer."""

from planner.graph import tensor as op
from planner.graph.attention import attention
from planner.graph.context import Context
from planner.graph.feedforward import feed_forward
from planner.graph.recurrent import delta_net, mamba2
from planner.graph.tensor import I32, I64, Graph, Tensor

# Batches of tokens and vectors together: not here. Source: ``llm_arch_supports_mixed_batch``.
UNMIXED = frozenset({"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"})


def build(context: Context) -> Graph:
    """All nodes, in the engine's order. ``context.blocks`` are the blocks to go through."""
    stream = _embedding(context)
    last = context.blocks[-1] if context.blocks else None
    for block in context.blocks:
        stream = _block(context, stream, block, is_last=block == last)
    _head(context, stream)
    return context.graph


def _embedding(context: Context) -> Tensor:
    """Token ids, vectors or both come in: the graph holds all three ways, whichever is used."""
    ids = context.given("tokens", context.tokens, element=I32)
    vectors = context.given("vectors", context.hparams.embd, context.tokens)
    made = op.get_rows(context.weight("token_embd.weight"), ids)
    context.graph.expand(made, vectors)
    if context.run.mixed and context.hparams.architecture not in UNMIXED:
        mixed_ids = context.given("mixed tokens", context.tokens, element=I32)
        slots = context.given("mixed slots", context.tokens, element=I64)
        mixed = context.given("mixed vectors", context.hparams.embd, context.tokens)
        rows = op.get_rows(context.weight("token_embd.weight"), mixed_ids)
        context.graph.expand(op.set_rows(op.like("dup", mixed), rows, slots))
    if context.recipe.scaled_rows:
        made = op.like("mul", made, context.given("row scales", 1, context.tokens))
    if context.recipe.scaled_embedding:
        made = op.like("scale", made)
    context.graph.expand(made)
    return made


def _block(context: Context, stream: Tensor, block: int, *, is_last: bool) -> Tensor:
    name, recipe = f"blk.{block}", context.recipe
    made = _mixer(context, context.norm(stream, f"{name}.attn_norm.weight", block), block)
    if recipe.single_part:
        return op.like("add", made, stream)
    if is_last and not recipe.late_rows:
        rows = context.output_rows()
        made, stream = op.get_rows(made, rows), op.get_rows(stream, rows)
        context.tokens = context.outputs
    sandwich = context.has(f"{name}.post_ffw_norm.weight")
    if sandwich:
        made = context.norm(made, f"{name}.post_attention_norm.weight", block)
    stream = op.like("add", _scaled(context, made), stream)
    norm = "ffn_norm" if context.has(f"{name}.ffn_norm.weight") else "post_attention_norm"
    made = feed_forward(context, context.norm(stream, f"{name}.{norm}.weight", block), block)
    if sandwich:
        made = context.norm(made, f"{name}.post_ffw_norm.weight", None)
    return op.like("add", _scaled(context, made), stream)


def _mixer(context: Context, source: Tensor, block: int) -> Tensor:
    """Attention, a recurrent layer, or, where a block is one part only, a feed-forward."""
    layer, name = context.hparams.layers[block], f"blk.{block}"
    if layer.is_recurrent and context.has(f"{name}.ssm_in.weight"):
        return mamba2(context, source, block)
    if layer.is_recurrent:
        context.graph.expand(source)
        return delta_net(context, source, block)
    if context.recipe.single_part and not layer.has_kv:
        return feed_forward(context, source, block)
    return attention(context, source, block)


def _scaled(context: Context, source: Tensor) -> Tensor:
    return op.like("scale", source) if context.recipe.scaled_residual else source


def _head(context: Context, stream: Tensor) -> None:
    recipe = context.recipe
    if recipe.keeps == "both":
        stream.is_output = True
        stream = op.get_rows(stream, context.output_rows())
    made = context.norm(stream, "output_norm.weight", None)
    made.is_output = True
    if recipe.late_rows and recipe.keeps == "norm":
        made = op.get_rows(made, context.output_rows())
        made.is_output = True
    made = op.mul_mat(context.tied_output(), made)
    if context.has("output.bias"):
        made = op.like("add", made, context.weight("output.bias"))
    if recipe.capped_logits:
        made = op.like("scale", op.like("unary", op.like("scale", made)))
    if recipe.scaled_logits:
        made = op.like("scale", made)
    made.is_output = True
    context.graph.expand(made)
