"""Attention as llama.cpp builds it: over a cache of K and V, of a window, or of MLA's compressed rows.

Source: llama.cpp ``llm_graph_context::build_attn``, ``build_attn_mha``, ``build_qkv``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.tensor import F32, Tensor
from planner.llama_cpp.memory import kv_cache
from planner.model.hparams import Layer


def attention(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Attention of one block on the normed ``source``, including the output matrix."""
    if builder.hparams.is_mla:
        return _mla(builder, source, block)
    layer, name = builder.hparams.layers[block], f"blk.{block}"
    if not layer.has_kv:
        return _shared_kv_attention(builder, source, block)
    q, k, v, gate = _qkv(builder, source, block)
    q = _rope(builder, normed_heads(builder, q, f"{name}.attn_q_norm.weight", block), block)
    k = _rope(builder, normed_heads(builder, k, f"{name}.attn_k_norm.weight", block), block)
    if builder.recipe.norms_after_rope and q.op == "rope":
        q, k = op.like("rms_norm", q), op.like("rms_norm", k)
    if builder.recipe.scales_query:
        q = op.like("scale", q)
    cur = _attend_with_cache(builder, q, k, v, layer, block)
    if gate is not None:
        gate = op.like("unary", op.cont(gate, gate.ne[0] * gate.ne[1], builder.tokens))
        cur = op.like("mul", cur, gate)
    if (
        builder.has(f"{name}.attn_gate.weight")
        and builder.weight(f"{name}.attn_gate.weight").ne[1] == cur.ne[0]
    ):
        cur = op.like("mul", cur, op.like("unary", builder.linear(source, f"{name}.attn_gate")))
    return builder.linear(cur, f"{name}.attn_output")


def _shared_kv_attention(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Attention of a layer without a cache: it reads that of the last layer of its kind that has one.

    Source: the ``reuse`` function of ``llama_model::create_memory``."""
    layer, name = builder.hparams.layers[block], f"blk.{block}"
    layers_with_kv = sum(other.has_kv for other in builder.hparams.layers)
    q = op.reshape(builder.linear(source, f"{name}.attn_q"), layer.key_dim, layer.heads, builder.tokens)
    q = _rope(builder, normed_heads(builder, q, f"{name}.attn_q_norm.weight", block), block)
    k_hadamard, v_hadamard = builder.hadamard("k", layer), builder.hadamard("v", layer)
    if k_hadamard is not None:
        q = _hadamard(q, k_hadamard)
    builder.graph.expand(q)
    cur = _attend_cells(builder, q, layers_with_kv - (2 if layer.window else 1), block)
    cur = _hadamard(cur, v_hadamard) if v_hadamard is not None else cur
    return builder.linear(cur, f"{name}.attn_output")


def normed_heads(builder: GraphBuilder, source: Tensor, name: str, block: int) -> Tensor:
    """The norm ``name``, if the file has one as wide as ``source``: over all heads together before they are
    split, over each head after that."""
    if not builder.has(name) or builder.weight(name).ne[0] != source.ne[0]:
        return source
    return builder.norm(source, name, block)


def _rope(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    recipe = builder.recipe
    is_no_rope_layer = (
        recipe.rope_in_windows_only and builder.hparams.window and not builder.hparams.layers[block].window
    )
    if not recipe.uses_rope or is_no_rope_layer:
        return source
    if recipe.no_rope_every and (block + 1) % recipe.no_rope_every == 0:
        if not recipe.scales_no_rope_layers:
            return source
        scale = builder.graph_input("attention scale", 1, 1, builder.tokens)
        is_query = source.ne[1] == builder.hparams.layers[block].heads
        return op.like("mul", source, scale) if is_query else source
    factors = builder.rope_factors(block)
    return op.like("rope", source, builder.positions(), *(() if factors is None else (factors,)))


def _qkv(builder: GraphBuilder, source: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    layer, name, tokens = builder.hparams.layers[block], f"blk.{block}", builder.tokens
    if builder.has(f"{name}.attn_qkv.weight"):
        return (*split_fused_qkv(builder, source, layer, name), None)
    q = builder.linear(source, f"{name}.attn_q")
    k = builder.linear(source, f"{name}.attn_k")
    v = builder.linear(source, f"{name}.attn_v") if builder.has(f"{name}.attn_v.weight") else k
    q = normed_heads(builder, q, f"{name}.attn_q_norm.weight", block)
    k = normed_heads(builder, k, f"{name}.attn_k_norm.weight", block)
    gate = None
    if builder.recipe.has_query_gate:
        q_and_gate = op.reshape(q, 2 * layer.key_dim, layer.heads, tokens)
        half_dims = op.dims(layer.key_dim, layer.heads, tokens)
        q, gate = op.view(q_and_gate, half_dims, q_and_gate.nb), op.view(q_and_gate, half_dims, q_and_gate.nb)
    else:
        q = op.reshape(q, layer.key_dim, layer.heads, tokens)
    k = op.reshape(k, layer.key_dim, layer.kv_heads, tokens)
    v = op.reshape(v, layer.value_dim, layer.kv_heads, tokens)
    if builder.recipe.norms_values:
        v = op.like("rms_norm", v)
    return q, k, v, gate


def split_fused_qkv(
    builder: GraphBuilder, source: Tensor, layer: Layer, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    qkv = builder.linear(source, f"{name}.attn_qkv")
    row_stride, tokens = qkv.nb[1], builder.tokens

    def part(width: int, heads: int) -> Tensor:
        return op.view(
            qkv, op.dims(width, heads, tokens), (F32, width * F32, row_stride, row_stride * tokens)
        )

    return (
        part(layer.key_dim, layer.heads),
        part(layer.key_dim, layer.kv_heads),
        part(layer.value_dim, layer.kv_heads),
    )


def _attend_with_cache(
    builder: GraphBuilder, q: Tensor, k: Tensor, v: Tensor, layer: Layer, block: int
) -> Tensor:
    """Stores K and V in the cache, then attends over all of it."""
    k_hadamard, v_hadamard = builder.hadamard("k", layer), builder.hadamard("v", layer)
    if k_hadamard is not None:
        q, k = _hadamard(q, k_hadamard), _hadamard(k, k_hadamard)
    if v_hadamard is not None:
        v = _hadamard(v, v_hadamard)
    builder.graph.expand(*((q, k, v) if builder.hparams.window else (q, v, k)))
    window_suffix = " window" if layer.window else ""
    _store(builder, "k", k, block, window_suffix)
    _store(builder, "v", v, block, window_suffix)
    cur = _attend_cells(builder, q, block, block)
    return _hadamard(cur, v_hadamard) if v_hadamard is not None else cur


def _attend_cells(builder: GraphBuilder, q: Tensor, cache_block: int, block: int) -> Tensor:
    """Attention of ``block`` over all cells of the cache of ``cache_block``."""
    layer = builder.hparams.layers[block]
    cells, streams = kv_cache.layer_cells(layer, builder.hparams, builder.cparams), builder.cparams.streams
    keys = _cache_view(builder.cache("k", cache_block), layer.key_dim, layer.kv_heads, cells, streams)
    if builder.cparams.values_transposed:
        values = _cache_view(builder.cache("v", cache_block), cells, layer.kv_heads, layer.value_dim, streams)
    else:
        values = _cache_view(builder.cache("v", cache_block), layer.value_dim, layer.kv_heads, cells, streams)
    return _attend(builder, q, keys, values, block, compressed=None)


def _hadamard(source: Tensor, matrix: Tensor) -> Tensor:
    side = matrix.ne[0]
    rows = source.ne[0] * source.ne[1] * source.ne[2] * source.ne[3] // side
    flat = op.reshape(source, side, rows) if source.is_contiguous else op.cont(source, side, rows)
    return op.reshape(op.mul_mat(matrix, flat), *source.ne)


def _cache_view(cache: Tensor, width: int, heads: int, cells: int, streams: int) -> Tensor:
    return op.view(cache, op.dims(width, heads, cells, streams))


def _store(builder: GraphBuilder, k_or_v: str, values: Tensor, block: int, window_suffix: str) -> None:
    target = builder.cache(k_or_v, block)
    ids = builder.cell_ids(k_or_v, window_suffix)
    width, tokens = values.ne[0] * values.ne[1], builder.tokens
    if k_or_v == "v" and builder.cparams.values_transposed:
        rows = op.reshape(op.reshape(values, width, tokens), 1, width * tokens)
        target = op.reshape(target, 1, target.ne[0] * target.ne[1] * target.ne[2])
    else:
        rows = op.view(values, op.dims(width, tokens))
        if target.ne[2] > 1:
            target = op.reshape(target, target.ne[0], target.ne[1] * target.ne[2])
    builder.graph.expand(op.set_rows(target, rows, ids))


def _attend(
    builder: GraphBuilder, q: Tensor, k: Tensor, v: Tensor, block: int, *, compressed: Tensor | None
) -> Tensor:
    """All heads of all streams: one fused node, or scores, their softmax and the weighted sum."""
    streams = k.ne[3]
    split = op.dims(q.ne[0], q.ne[1], q.ne[2] // streams, streams)
    q = op.view(q, split, (q.nb[0], q.nb[1], q.nb[2], q.nb[2] * split[2]))
    q, k, v = (op.permute(tensor, 0, 2, 1, 3) for tensor in (q, k, v))
    mask = builder.mask(builder.hparams.layers[block])
    sinks = builder.weight_or_none(f"blk.{block}.attn_sinks.weight")
    extra = () if sinks is None else (sinks,)
    if builder.cparams.flash_attention:
        cur = op.new("flash_attn", (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), (q, k, v, mask, *extra))
        builder.fused_attention.append((cur, block))
        if compressed is not None:
            cur = op.mul_mat(compressed, op.permute(cur, 0, 2, 1, 3))
            cur = op.cont(op.permute(cur, 0, 2, 1, 3))
        cur = op.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    else:
        cur = _attend_unfused(builder, q, k, v, (mask, *extra), compressed)
    builder.graph.expand(cur)
    return cur


def _attend_unfused(
    builder: GraphBuilder,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: tuple[Tensor, ...],
    compressed: Tensor | None,
) -> Tensor:
    scores = op.mul_mat(k, q)
    if builder.recipe.caps_attention_scores:
        scores = op.like("scale", op.like("unary", op.like("scale", scores)))
    scores = op.like("soft_max", scores, *mask)
    if compressed is not None or not builder.cparams.values_transposed:  # MLA's V is part of K
        v = op.cont(op.transpose(v))
    cur = op.mul_mat(v, scores)
    if compressed is not None:
        cur = op.mul_mat(compressed, cur)
    cur = op.permute(cur, 0, 2, 1, 3)
    cur = op.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    if not builder.cparams.kv_offload and builder.cparams.pinned:
        cur.pinned = builder.cpu
    return cur


def _mla(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Multi-head latent attention with K absorbed: one shared head of the compressed row."""
    name, tokens, hparams = f"blk.{block}", builder.tokens, builder.hparams
    layer = hparams.layers[block]
    kv_rank, rope = hparams.kv_lora_rank, hparams.rope_dim
    if builder.has(f"{name}.attn_q_a.weight"):
        q = builder.norm(
            op.mul_mat(builder.weight(f"{name}.attn_q_a.weight"), source),
            f"{name}.attn_q_a_norm.weight",
            block,
        )
        q = op.mul_mat(builder.weight(f"{name}.attn_q_b.weight"), q)
    else:
        q = op.mul_mat(builder.weight(f"{name}.attn_q.weight"), source)
    q = op.reshape(q, hparams.mla_key_dim, layer.heads, tokens)
    compressed_and_rope = op.mul_mat(builder.weight(f"{name}.attn_kv_a_mqa.weight"), source)
    row_stride = compressed_and_rope.nb[1]
    compressed = op.view(
        compressed_and_rope,
        op.dims(kv_rank, tokens),
        (F32, row_stride, row_stride * tokens, row_stride * tokens),
    )
    k_rope = op.view(
        compressed_and_rope, op.dims(rope, 1, tokens), (F32, row_stride, row_stride, row_stride * tokens)
    )
    k_rope = _rope(builder, k_rope, block)
    compressed = builder.norm(compressed, f"{name}.attn_kv_a_norm.weight", block)
    q_nope = op.view(q, op.dims(hparams.mla_key_dim - rope, layer.heads, tokens), q.nb)
    q_rope = _rope(builder, op.view(q, op.dims(rope, layer.heads, tokens), q.nb), block)
    absorbed = op.mul_mat(builder.weight(f"{name}.attn_k_b.weight"), op.permute(q_nope, 0, 2, 1, 3))
    absorbed = op.permute(absorbed, 0, 2, 1, 3)
    q = op.concat(absorbed, q_rope, 0)
    compressed = op.reshape(compressed, kv_rank, 1, tokens)
    k = op.concat(compressed, k_rope, 0)
    builder.graph.expand(q, compressed, k)
    _store(builder, "k", k, block, "")
    cells, streams = kv_cache.layer_cells(layer, hparams, builder.cparams), builder.cparams.streams
    keys = _cache_view(builder.cache("k", block), layer.key_dim, 1, cells, streams)
    values = op.view(keys, op.dims(kv_rank, 1, cells, streams), keys.nb)
    cur = _attend(builder, q, keys, values, block, compressed=builder.weight(f"{name}.attn_v_b.weight"))
    return builder.linear(cur, f"{name}.attn_output")
