"""What Gemma 3n and Gemma 4 add to a transformer: per-layer embeddings and AltUp's parallel residuals.

Source: llama.cpp ``src/models/gemma3n.cpp`` and ``gemma4.cpp``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.attention import attention
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.feedforward import dense, expert_scores, experts
from planner.llama_cpp.graph.tensor import I32, Tensor


def per_layer_embeddings(builder: GraphBuilder, residual: Tensor) -> Tensor | None:
    """A narrow vector per layer and token, from a table of its own and from the embedding."""
    embedding_table = builder.weight_or_none("per_layer_token_embd.weight")
    if embedding_table is None:
        return None
    layer_count, tokens = len(builder.hparams.layers), builder.tokens
    width = embedding_table.ne[0] // layer_count
    from_table = op.get_rows(
        embedding_table, builder.graph_input("tokens of layers", tokens, element_bytes=I32)
    )
    from_table = op.like("scale", op.reshape(from_table, width, layer_count, tokens))
    builder.graph.expand(from_table)
    cur = op.like("scale", op.mul_mat(builder.weight("per_layer_model_proj.weight"), residual))
    cur = op.reshape(cur, width, layer_count, tokens)
    cur = builder.norm(cur, "per_layer_proj_norm.weight", None)
    cur = op.like("scale", op.like("add", cur, from_table))
    return op.cont(op.permute(cur, 0, 2, 1, 3))


def _first_stream(source: Tensor) -> Tensor:
    """One of AltUp's streams."""
    return op.view(source, op.dims(source.ne[0], source.ne[1]))


def gemma4_block(builder: GraphBuilder, residual: Tensor, layer_vectors: Tensor | None, block: int) -> Tensor:
    name = f"blk.{block}"
    cur = attention(builder, builder.norm(residual, f"{name}.attn_norm.weight", block), block)
    cur = builder.norm(cur, f"{name}.post_attention_norm.weight", block)
    residual = op.like("add", cur, residual)
    if builder.has(f"{name}.ffn_gate_inp.weight"):
        cur = _dense_and_experts(builder, residual, block)
    else:
        cur = dense(builder, builder.norm(residual, f"{name}.ffn_norm.weight", block), f"{name}.ffn", "")
    cur = op.like("add", builder.norm(cur, f"{name}.post_ffw_norm.weight", None), residual)
    if layer_vectors is not None:
        gate = op.like("unary", op.mul_mat(builder.weight(f"{name}.inp_gate.weight"), cur))
        gate = op.like("mul", gate, _first_stream(layer_vectors))
        layer_update = op.mul_mat(builder.weight(f"{name}.proj.weight"), gate)
        cur = op.like("add", cur, builder.norm(layer_update, f"{name}.post_norm.weight", block))
    scale = builder.weight_or_none(f"{name}.layer_output_scale.weight")
    return cur if scale is None else op.like("mul", cur, scale)


def _dense_and_experts(builder: GraphBuilder, residual: Tensor, block: int) -> Tensor:
    """A dense part and experts in parallel, each with its own norms; the router reads the residual."""
    name = f"blk.{block}"
    cur = dense(builder, builder.norm(residual, f"{name}.ffn_norm.weight", block), f"{name}.ffn", "")
    cur = builder.norm(cur, f"{name}.post_ffw_norm_1.weight", block)
    source = builder.norm(residual, f"{name}.pre_ffw_norm_2.weight", block)
    router = op.like("scale", op.like("rms_norm", residual))
    router = op.like("mul", router, builder.weight(f"{name}.ffn_gate_inp.scale"))
    expert_output = experts(builder, source, block, scores=expert_scores(builder, router, block))
    return op.like("add", cur, builder.norm(expert_output, f"{name}.post_ffw_norm_2.weight", block))


def altup_project(builder: GraphBuilder, residual: Tensor) -> Tensor:
    """The residual and its projections, concatenated."""
    extra_streams = _altup_streams(builder) - 1
    magnitude = _magnitude(residual)
    repeated = op.new("repeat", op.dims(residual.ne[0], residual.ne[1], extra_streams), (residual,))
    cur = op.mul_mat(builder.weight("altup_proj.weight"), repeated)
    new_magnitude = _magnitude(cur)
    cur = op.like("div", op.like("mul", cur, magnitude), new_magnitude)
    return op.concat(residual, cur, 2)


def altup_merge(builder: GraphBuilder, residual: Tensor) -> Tensor:
    extra_streams = _altup_streams(builder) - 1
    magnitude = _magnitude(_first_stream(residual))
    other_streams = op.view(residual, op.dims(residual.ne[0], residual.ne[1], extra_streams))
    cur = op.mul_mat(builder.weight("altup_unembd_proj.weight"), other_streams)
    new_magnitude = _magnitude(cur)
    cur = op.like("div", op.like("mul", cur, magnitude), new_magnitude)
    stream_sum = _first_stream(residual)
    for _ in range(extra_streams):
        stream_sum = op.like("add", stream_sum, _first_stream(cur))
    return op.like("scale", stream_sum)


def _altup_streams(builder: GraphBuilder) -> int:
    return builder.weight("altup_proj.weight").ne[2] + 1


def _magnitude(source: Tensor) -> Tensor:
    squared = op.like("sqr", source)
    return op.like("sqrt", op.new("sum_rows", (1, *source.ne[1:]), (squared,)))


def gemma3n_block(builder: GraphBuilder, residual: Tensor, layer_vectors: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    predictions = _altup_predict(builder, residual, block)
    active = _first_stream(predictions)
    source = builder.norm(active, f"{name}.attn_norm.weight", block)
    laurel = op.mul_mat(
        builder.weight(f"{name}.laurel_r.weight"),
        op.mul_mat(builder.weight(f"{name}.laurel_l.weight"), source),
    )
    laurel = op.like("add", builder.norm(laurel, f"{name}.laurel_post_norm.weight", block), source)
    cur = builder.norm(attention(builder, source, block), f"{name}.post_attention_norm.weight", block)
    cur = op.like("scale", op.like("add", op.like("add", cur, active), laurel))
    ffn = _sparse_feed_forward(builder, builder.norm(cur, f"{name}.ffn_norm.weight", block), block)
    ffn = builder.norm(ffn, f"{name}.post_ffw_norm.weight", None)
    corrected = _altup_correct(builder, predictions, op.like("add", ffn, cur), block)
    update = op.like("mul", _first_stream(corrected), builder.weight(f"{name}.altup_correct_scale.weight"))
    update = op.like("unary", op.mul_mat(builder.weight(f"{name}.inp_gate.weight"), update))
    update = op.mul_mat(
        builder.weight(f"{name}.proj.weight"), op.like("mul", update, _first_stream(layer_vectors))
    )
    update = builder.norm(update, f"{name}.post_norm.weight", block)
    other_streams = op.view(corrected, op.dims(corrected.ne[0], corrected.ne[1], corrected.ne[2] - 1))
    return op.concat(_first_stream(corrected), op.like("add", other_streams, update), 2)


def _sparse_feed_forward(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """In the first layers only the largest gates are kept."""
    name = f"blk.{block}"
    up = op.mul_mat(builder.weight(f"{name}.ffn_up.weight"), source)
    gate = op.mul_mat(builder.weight(f"{name}.ffn_gate.weight"), source)
    if block < builder.recipe.sparse_activation_layers:
        row = op.dims(1, gate.ne[1])
        mean = op.new("mean", row, (gate,))
        deviation = op.new("sum_rows", row, (op.like("sqr", op.like("sub", gate, mean)),))
        deviation = op.like("sqrt", op.like("scale", deviation))
        cutoff = op.like("add", mean, op.like("scale", deviation))
        gate = op.like("unary", op.like("sub", gate, cutoff))
    cur = op.like("mul", up, op.like("unary", gate))
    return op.mul_mat(builder.weight(f"{name}.ffn_down.weight"), cur)


def _altup_modalities(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    normed = op.like("scale", builder.norm(source, f"{name}.altup_router_norm.weight", block))
    return op.like("unary", op.mul_mat(builder.weight(f"{name}.altup_router.weight"), normed))


def _altup_predict(builder: GraphBuilder, residual: Tensor, block: int) -> Tensor:
    streams = _altup_streams(builder)
    coefficients = op.mul_mat(
        builder.weight(f"blk.{block}.altup_predict_coef.weight"),
        _altup_modalities(builder, _first_stream(residual), block),
    )
    coefficients = op.reshape(coefficients, streams, streams, builder.tokens)
    transposed = op.cont(op.permute(residual, 1, 2, 0, 3))
    cur = op.mul_mat(transposed, coefficients)
    return op.like("add", op.cont(op.permute(cur, 0, 2, 1, 3)), residual)


def _altup_correct(builder: GraphBuilder, predictions: Tensor, active: Tensor, block: int) -> Tensor:
    modalities = _altup_modalities(builder, active, block)
    innovation = op.like("sub", active, _first_stream(predictions))
    coefficients = op.mul_mat(builder.weight(f"blk.{block}.altup_correct_coef.weight"), modalities)
    coefficients = op.cont(
        op.transpose(op.like("scale", coefficients)), 1, builder.tokens, _altup_streams(builder)
    )
    innovation = op.new("repeat", predictions.ne, (innovation,))
    return op.like("add", op.like("mul", innovation, coefficients), predictions)
