"""What Gemma 3n and Gemma 4 do beside a transformer: vectors of each layer's own, shared caches, and a
stream of several parts.

Source: llama.cpp ``src/models/gemma3n.cpp`` and ``gemma4.cpp``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.attention import attention
from planner.llama_cpp.graph.context import Context
from planner.llama_cpp.graph.feedforward import dense, expert_scores, experts
from planner.llama_cpp.graph.tensor import I32, Tensor


def vectors_of_layers(context: Context, stream: Tensor) -> Tensor | None:
    """For every layer and token a narrow vector, from a table of its own and from the embedding."""
    table = context.maybe("per_layer_token_embd.weight")
    if table is None:
        return None
    count, tokens = len(context.hparams.layers), context.tokens
    width = table.ne[0] // count
    own = op.get_rows(table, context.given("tokens of layers", tokens, element=I32))
    own = op.like("scale", op.reshape(own, width, count, tokens))
    context.graph.expand(own)
    made = op.like("scale", op.mul_mat(context.weight("per_layer_model_proj.weight"), stream))
    made = op.reshape(made, width, count, tokens)
    made = context.norm(made, "per_layer_proj_norm.weight", None)
    made = op.like("scale", op.like("add", made, own))
    return op.cont(op.permute(made, 0, 2, 1, 3))


def _slice(source: Tensor) -> Tensor:
    """One part of a stream of several."""
    return op.view(source, op.dims(source.ne[0], source.ne[1]))


def gemma4_block(context: Context, stream: Tensor, vectors: Tensor | None, block: int) -> Tensor:
    name = f"blk.{block}"
    made = attention(context, context.norm(stream, f"{name}.attn_norm.weight", block), block)
    made = context.norm(made, f"{name}.post_attention_norm.weight", block)
    stream = op.like("add", made, stream)
    if context.has(f"{name}.ffn_gate_inp.weight"):
        made = _two_parts(context, stream, block)
    else:
        made = dense(context, context.norm(stream, f"{name}.ffn_norm.weight", block), f"{name}.ffn", "")
    made = op.like("add", context.norm(made, f"{name}.post_ffw_norm.weight", None), stream)
    if vectors is not None:
        gate = op.like("unary", op.mul_mat(context.weight(f"{name}.inp_gate.weight"), made))
        gate = op.like("mul", gate, _slice(vectors))
        added = op.mul_mat(context.weight(f"{name}.proj.weight"), gate)
        made = op.like("add", made, context.norm(added, f"{name}.post_norm.weight", block))
    scale = context.maybe(f"{name}.layer_output_scale.weight")
    return made if scale is None else op.like("mul", made, scale)


def _two_parts(context: Context, stream: Tensor, block: int) -> Tensor:
    """The dense part and the experts beside it, each with norms of its own; the router reads the stream."""
    name = f"blk.{block}"
    made = dense(context, context.norm(stream, f"{name}.ffn_norm.weight", block), f"{name}.ffn", "")
    made = context.norm(made, f"{name}.post_ffw_norm_1.weight", block)
    source = context.norm(stream, f"{name}.pre_ffw_norm_2.weight", block)
    router = op.like("scale", op.like("rms_norm", stream))
    router = op.like("mul", router, context.weight(f"{name}.ffn_gate_inp.scale"))
    chosen = experts(context, source, block, scores=expert_scores(context, router, block))
    return op.like("add", made, context.norm(chosen, f"{name}.post_ffw_norm_2.weight", block))


def stacked(context: Context, stream: Tensor) -> Tensor:
    """The stream and its projections, behind each other."""
    added = _parts(context) - 1
    size = _magnitude(stream)
    repeated = op.new("repeat", op.dims(stream.ne[0], stream.ne[1], added), (stream,))
    made = op.mul_mat(context.weight("altup_proj.weight"), repeated)
    new_size = _magnitude(made)
    made = op.like("div", op.like("mul", made, size), new_size)
    return op.concat(stream, made, 2)


def merged(context: Context, stream: Tensor) -> Tensor:
    added = _parts(context) - 1
    size = _magnitude(_slice(stream))
    rest = op.view(stream, op.dims(stream.ne[0], stream.ne[1], added))
    made = op.mul_mat(context.weight("altup_unembd_proj.weight"), rest)
    new_size = _magnitude(made)
    made = op.like("div", op.like("mul", made, size), new_size)
    total = _slice(stream)
    for _ in range(added):
        total = op.like("add", total, _slice(made))
    return op.like("scale", total)


def _parts(context: Context) -> int:
    return context.weight("altup_proj.weight").ne[2] + 1


def _magnitude(source: Tensor) -> Tensor:
    squared = op.like("sqr", source)
    return op.like("sqrt", op.new("sum_rows", (1, *source.ne[1:]), (squared,)))


def gemma3n_block(context: Context, stream: Tensor, vectors: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    predictions = _predicted(context, stream, block)
    active = _slice(predictions)
    source = context.norm(active, f"{name}.attn_norm.weight", block)
    side = op.mul_mat(
        context.weight(f"{name}.laurel_r.weight"),
        op.mul_mat(context.weight(f"{name}.laurel_l.weight"), source),
    )
    side = op.like("add", context.norm(side, f"{name}.laurel_post_norm.weight", block), source)
    made = context.norm(attention(context, source, block), f"{name}.post_attention_norm.weight", block)
    made = op.like("scale", op.like("add", op.like("add", made, active), side))
    inner = _gated(context, context.norm(made, f"{name}.ffn_norm.weight", block), block)
    inner = context.norm(inner, f"{name}.post_ffw_norm.weight", None)
    corrected = _corrected(context, predictions, op.like("add", inner, made), block)
    first = op.like("mul", _slice(corrected), context.weight(f"{name}.altup_correct_scale.weight"))
    first = op.like("unary", op.mul_mat(context.weight(f"{name}.inp_gate.weight"), first))
    first = op.mul_mat(context.weight(f"{name}.proj.weight"), op.like("mul", first, _slice(vectors)))
    first = context.norm(first, f"{name}.post_norm.weight", block)
    rest = op.view(corrected, op.dims(corrected.ne[0], corrected.ne[1], corrected.ne[2] - 1))
    return op.concat(_slice(corrected), op.like("add", rest, first), 2)


def _gated(context: Context, source: Tensor, block: int) -> Tensor:
    """In the first layers only the largest gates stay."""
    name = f"blk.{block}"
    up = op.mul_mat(context.weight(f"{name}.ffn_up.weight"), source)
    gate = op.mul_mat(context.weight(f"{name}.ffn_gate.weight"), source)
    if block < context.recipe.sparse_layers:
        row = op.dims(1, gate.ne[1])
        mean = op.new("mean", row, (gate,))
        spread = op.new("sum_rows", row, (op.like("sqr", op.like("sub", gate, mean)),))
        spread = op.like("sqrt", op.like("scale", spread))
        least = op.like("add", mean, op.like("scale", spread))
        gate = op.like("unary", op.like("sub", gate, least))
    made = op.like("mul", up, op.like("unary", gate))
    return op.mul_mat(context.weight(f"{name}.ffn_down.weight"), made)


def _modalities(context: Context, source: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    normed = op.like("scale", context.norm(source, f"{name}.altup_router_norm.weight", block))
    return op.like("unary", op.mul_mat(context.weight(f"{name}.altup_router.weight"), normed))


def _predicted(context: Context, stream: Tensor, block: int) -> Tensor:
    parts = _parts(context)
    shares = op.mul_mat(
        context.weight(f"blk.{block}.altup_predict_coef.weight"), _modalities(context, _slice(stream), block)
    )
    shares = op.reshape(shares, parts, parts, context.tokens)
    turned = op.cont(op.permute(stream, 1, 2, 0, 3))
    made = op.mul_mat(turned, shares)
    return op.like("add", op.cont(op.permute(made, 0, 2, 1, 3)), stream)


def _corrected(context: Context, predictions: Tensor, active: Tensor, block: int) -> Tensor:
    modalities = _modalities(context, active, block)
    new = op.like("sub", active, _slice(predictions))
    shares = op.mul_mat(context.weight(f"blk.{block}.altup_correct_coef.weight"), modalities)
    shares = op.cont(op.transpose(op.like("scale", shares)), 1, context.tokens, _parts(context))
    new = op.new("repeat", predictions.ne, (new,))
    return op.like("add", op.like("mul", new, shares), predictions)
