"""The graph of one batch through a whole model, for architectures built like a transformer."""

from planner.llama_cpp.graph import gemma
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.attention import attention
from planner.llama_cpp.graph.context import Context, NotLaidOutError
from planner.llama_cpp.graph.feedforward import expert_scores, feed_forward
from planner.llama_cpp.graph.mamba import mamba, mamba2
from planner.llama_cpp.graph.recurrent import delta_net, kimi_delta, short_convolution
from planner.llama_cpp.graph.tensor import I32, I64, Graph, Tensor

# Batches of tokens and vectors together: not here. Source: ``llm_arch_supports_mixed_batch``.
UNMIXED = frozenset({"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"})


def build(context: Context) -> Graph:
    """All nodes, in the engine's order. ``context.blocks`` are the blocks to go through."""
    embedding = stream = _embedding(context)
    recipe = context.recipe
    vectors = gemma.vectors_of_layers(context, stream)
    if recipe.stacked:
        stream = gemma.stacked(context, stream)
    last = context.blocks[-1] if context.blocks else None
    for block in context.blocks:
        if recipe.stacked and vectors is not None:
            stream = gemma.gemma3n_block(context, stream, vectors, block)
        elif recipe.own_vectors:
            stream = gemma.gemma4_block(context, stream, vectors, block)
        else:
            stream = _block(context, stream, block, is_last=block == last)
        if block < context.extra_vectors:
            stream = op.like("add", stream, op.view(embedding, embedding.ne, embedding.nb))
    if recipe.stacked:
        stream = op.get_rows(gemma.merged(context, stream), context.output_rows())
    _head(context, stream)
    return context.graph


def _embedding(context: Context) -> Tensor:
    """Token ids, vectors or both come in: the graph holds all three ways, whichever is used."""
    ids = context.given("tokens", context.tokens, element=I32)
    width = context.hparams.embd * (1 + context.extra_vectors)
    vectors = context.given("vectors", width, context.tokens)
    made = _widened(context, op.get_rows(context.weight("token_embd.weight"), ids))
    context.graph.expand(made, vectors)
    if context.run.mixed and context.hparams.architecture not in UNMIXED:
        mixed_ids = context.given("mixed tokens", context.tokens, element=I32)
        slots = context.given("mixed slots", context.tokens, element=I64)
        mixed = context.given("mixed vectors", width, context.tokens)
        rows = _widened(context, op.get_rows(context.weight("token_embd.weight"), mixed_ids))
        context.graph.expand(op.set_rows(op.like("dup", mixed), rows, slots))
    if context.recipe.scaled_rows:
        made = op.like("mul", made, context.given("row scales", 1, context.tokens))
    if context.recipe.scaled_embedding:
        made = op.like("scale", made)
    if context.extra_vectors:
        made = op.view(made, op.dims(context.hparams.embd, context.tokens), made.nb)
    context.graph.expand(made)
    return made


def _widened(context: Context, rows: Tensor) -> Tensor:
    """Room for the vectors that an image adds to the first blocks' outputs."""
    if not context.extra_vectors:
        return rows
    return op.new("pad", op.dims(rows.ne[0] * (1 + context.extra_vectors), rows.ne[1]), (rows,))


def _block(context: Context, stream: Tensor, block: int, *, is_last: bool) -> Tensor:
    name, recipe = f"blk.{block}", context.recipe
    normed = _before(context, stream, f"{name}.attn_norm.weight", block)
    scores = expert_scores(context, stream, block) if recipe.early_router else None
    made = _mixer(context, normed, block, stream)
    if recipe.single_part:
        return op.like("add", made, stream)
    if recipe.two_mixers:
        return _after_two_mixers(context, made, stream, block, is_last=is_last)
    sandwich = context.has(f"{name}.post_ffw_norm.weight")
    if sandwich and recipe.rows_behind_norm:
        made = context.norm(made, f"{name}.post_attention_norm.weight", block)
    if is_last and not recipe.late_rows:
        made, stream, normed, scores = _rows(context, made, stream, normed, scores)
    if recipe.parallel:
        return op.like("add", op.like("add", feed_forward(context, normed, block), stream), made)
    if sandwich and not recipe.rows_behind_norm:
        made = context.norm(made, f"{name}.post_attention_norm.weight", block)
    if context.hparams.layers[block].heads or context.hparams.layers[block].is_recurrent:
        stream = _added(context, made, stream, "first")
    return _second_part(context, stream, block, sandwich=sandwich, scores=scores)


def _rows(
    context: Context, made: Tensor, stream: Tensor, normed: Tensor, scores: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Of the tokens that have an output, all that is read later on."""
    rows = context.output_rows()
    context.tokens = context.outputs
    return (
        op.get_rows(made, rows),
        op.get_rows(stream, rows),
        op.get_rows(normed, rows) if context.recipe.parallel else normed,
        None if scores is None else op.get_rows(scores, rows),
    )


def _second_part(
    context: Context, stream: Tensor, block: int, *, sandwich: bool = False, scores: Tensor | None = None
) -> Tensor:
    name = f"blk.{block}"
    if not _has_feed_forward(context, name):
        return stream
    norm = "ffn_norm" if sandwich or _has_norm(context, f"{name}.ffn_norm") else "post_attention_norm"
    normed = _before(context, stream, f"{name}.{norm}.weight", block)
    made = feed_forward(context, normed, block, scores=scores)
    if sandwich:
        made = context.norm(made, f"{name}.post_ffw_norm.weight", None)
    return _added(context, made, stream, "second")


def _after_two_mixers(context: Context, made: Tensor, stream: Tensor, block: int, *, is_last: bool) -> Tensor:
    """Falcon H1 adds attention and Mamba of the same norm, made twice."""
    name = f"blk.{block}"
    second = mamba2(context, context.norm(stream, f"{name}.attn_norm.weight", block), block)
    stream = op.like("add", op.like("add", made, second), stream)
    if is_last:
        stream = op.get_rows(stream, context.output_rows())
        context.tokens = context.outputs
    return _second_part(context, stream, block)


def _has_norm(context: Context, name: str) -> bool:
    return context.has(f"{name}.weight") or context.has(name)


def _has_feed_forward(context: Context, name: str) -> bool:
    return any(context.has(f"{name}.{part}.weight") for part in ("ffn_up", "ffn_gate_inp"))


def _before(context: Context, source: Tensor, name: str, block: int) -> Tensor:
    """The norm before a part. Some have norms behind their parts only."""
    if context.recipe.norms_behind and not context.has(name):
        return source
    return context.norm(source, name, block)


def _mixer(context: Context, source: Tensor, block: int, stream: Tensor) -> Tensor:
    """Attention, a recurrent layer, or, where a block is one part only, a feed-forward."""
    layer, name, recipe = context.hparams.layers[block], f"blk.{block}", context.recipe
    if layer.is_recurrent and not recipe.two_mixers:
        return _recurrent(context, source, block)
    if recipe.single_part and not layer.has_kv:
        return feed_forward(context, source, block)
    if not layer.heads:
        return stream
    if not layer.kv_heads and context.has(f"{name}.attn_output.weight"):
        return context.linear(source, f"{name}.attn_output")
    return attention(context, source, block)


def _recurrent(context: Context, source: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    if context.has(f"{name}.ssm_x.weight"):
        return mamba(context, source, block)
    if context.has(f"{name}.ssm_in.weight"):
        return mamba2(context, source, block)
    if context.has(f"{name}.shortconv.in_proj.weight"):
        return short_convolution(context, source, block)
    context.graph.expand(source)
    if context.has(f"{name}.ssm_f_a.weight"):
        return kimi_delta(context, source, block)
    if not context.hparams.time_step_rank:
        raise NotLaidOutError(f"{name} keeps a state of an unknown kind")
    return delta_net(context, source, block)


def _added(context: Context, made: Tensor, stream: Tensor, part: str) -> Tensor:
    made = _scaled(context, made)
    first, second = (stream, made) if context.recipe.stream_first in (part, "both") else (made, stream)
    return op.like("add", first, second)


def _scaled(context: Context, source: Tensor) -> Tensor:
    return op.like("scale", source) if context.recipe.scaled_residual else source


def _head(context: Context, stream: Tensor) -> None:
    recipe = context.recipe
    if recipe.keeps == "both":
        stream.is_output = True
        stream = op.get_rows(stream, context.output_rows())
    norm = "output_norm" if context.has("output_norm.weight") else "token_embd_norm"
    made = context.norm(stream, f"{norm}.weight", None)
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
