"""Attention as llama.cpp builds it: with a cache of K and V, of a window, or of MLA's compressed row.

Source: llama.cpp ``llm_graph_context::build_attn``, ``build_attn_mha``, ``build_qkv``.
"""

from planner.llama_cpp import kv_cache
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import Context
from planner.llama_cpp.graph.tensor import F32, Tensor
from planner.model.hparams import Layer


def attention(context: Context, source: Tensor, block: int) -> Tensor:
    """One block's attention on the normed ``source``, output matrix included."""
    if context.hparams.is_mla:
        return _mla(context, source, block)
    layer, name = context.hparams.layers[block], f"blk.{block}"
    if not layer.has_kv:
        return _borrowed(context, source, block)
    q, k, v, gate = _qkv(context, source, block)
    q = _rotated(context, _normed(context, q, f"{name}.attn_q_norm.weight", block), block)
    k = _rotated(context, _normed(context, k, f"{name}.attn_k_norm.weight", block), block)
    if context.recipe.normed_after_rotation and q.op == "rope":
        q, k = op.like("rms_norm", q), op.like("rms_norm", k)
    if context.recipe.scale_q:
        q = op.like("scale", q)
    made = _cached(context, q, k, v, layer, block)
    if gate is not None:
        gate = op.like("unary", op.cont(gate, gate.ne[0] * gate.ne[1], context.tokens))
        made = op.like("mul", made, gate)
    if (
        context.has(f"{name}.attn_gate.weight")
        and context.weight(f"{name}.attn_gate.weight").ne[1] == made.ne[0]
    ):
        made = op.like("mul", made, op.like("unary", context.linear(source, f"{name}.attn_gate")))
    return context.linear(made, f"{name}.attn_output")


def _borrowed(context: Context, source: Tensor, block: int) -> Tensor:
    """Reads the cache that the last layer of its kind with one of its own has written.

    Source: the ``reuse`` function of ``llama_model::create_memory``."""
    layer, name = context.hparams.layers[block], f"blk.{block}"
    own = sum(one.has_kv for one in context.hparams.layers)
    q = op.reshape(context.linear(source, f"{name}.attn_q"), layer.key_dim, layer.heads, context.tokens)
    q = _rotated(context, _normed(context, q, f"{name}.attn_q_norm.weight", block), block)
    k_turn, v_turn = context.rotation("k", layer), context.rotation("v", layer)
    if k_turn is not None:
        q = _turned(q, k_turn)
    context.graph.expand(q)
    made = _read(context, q, own - (2 if layer.window else 1), block)
    made = _turned(made, v_turn) if v_turn is not None else made
    return context.linear(made, f"{name}.attn_output")


def _normed(context: Context, source: Tensor, name: str, block: int) -> Tensor:
    """Per head; a norm over all heads was made before they were split."""
    if not context.has(name) or context.weight(name).ne[0] != source.ne[0]:
        return source
    return context.norm(source, name, block)


def _rotated(context: Context, source: Tensor, block: int) -> Tensor:
    recipe = context.recipe
    still = recipe.still_wide and context.hparams.window and not context.hparams.layers[block].window
    if not recipe.rotates or still:
        return source
    if recipe.still_every and (block + 1) % recipe.still_every == 0:
        if not recipe.scaled_still:
            return source
        scale = context.given("attention scale", 1, 1, context.tokens)
        return (
            op.like("mul", source, scale) if source.ne[1] == context.hparams.layers[block].heads else source
        )
    factors = context.factors(block)
    more = (context.positions(),) if factors is None else (context.positions(), factors)
    return op.like("rope", source, *more)


def _qkv(context: Context, source: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    layer, name, tokens = context.hparams.layers[block], f"blk.{block}", context.tokens
    if context.has(f"{name}.attn_qkv.weight"):
        return (*_fused(context, source, layer, name), None)
    q = context.linear(source, f"{name}.attn_q")
    k = context.linear(source, f"{name}.attn_k")
    v = context.linear(source, f"{name}.attn_v") if context.has(f"{name}.attn_v.weight") else k
    q, k = (
        _over_all(context, one, f"{name}.attn_{which}_norm.weight", block)
        for one, which in ((q, "q"), (k, "k"))
    )
    gate = None
    if context.recipe.split_q_gate:
        both = op.reshape(q, 2 * layer.key_dim, layer.heads, tokens)
        half = op.dims(layer.key_dim, layer.heads, tokens)
        q, gate = op.view(both, half, both.nb), op.view(both, half, both.nb)
    else:
        q = op.reshape(q, layer.key_dim, layer.heads, tokens)
    k = op.reshape(k, layer.key_dim, layer.kv_heads, tokens)
    v = op.reshape(v, layer.value_dim, layer.kv_heads, tokens)
    if context.recipe.normed_values:
        v = op.like("rms_norm", v)
    return q, k, v, gate


def _over_all(context: Context, source: Tensor, name: str, block: int) -> Tensor:
    """A norm over all heads together, where the file has one."""
    if not context.has(name) or context.weight(name).ne[0] != source.ne[0]:
        return source
    return context.norm(source, name, block)


def _fused(context: Context, source: Tensor, layer: Layer, name: str) -> tuple[Tensor, Tensor, Tensor]:
    qkv = context.linear(source, f"{name}.attn_qkv")
    row, tokens = qkv.nb[1], context.tokens

    def part(width: int, heads: int) -> Tensor:
        return op.view(qkv, op.dims(width, heads, tokens), (F32, width * F32, row, row * tokens))

    return (
        part(layer.key_dim, layer.heads),
        part(layer.key_dim, layer.kv_heads),
        part(layer.value_dim, layer.kv_heads),
    )


def _cached(context: Context, q: Tensor, k: Tensor, v: Tensor, layer: Layer, block: int) -> Tensor:
    """K and V into the cache, then attention over all of it."""
    k_turn, v_turn = context.rotation("k", layer), context.rotation("v", layer)
    if k_turn is not None:
        q, k = _turned(q, k_turn), _turned(k, k_turn)
    if v_turn is not None:
        v = _turned(v, v_turn)
    context.graph.expand(*((q, k, v) if context.hparams.window else (q, v, k)))
    windowed = " window" if layer.window else ""
    _store(context, "k", k, block, windowed)
    _store(context, "v", v, block, windowed)
    made = _read(context, q, block, block)
    return _turned(made, v_turn) if v_turn is not None else made


def _read(context: Context, q: Tensor, cached: int, block: int) -> Tensor:
    """Attention of ``block`` over all that stands in the cache of the layer ``cached``."""
    layer = context.hparams.layers[block]
    cells, streams = kv_cache.cells(layer, context.hparams, context.run), context.run.streams
    keys = _look(context.cache("k", cached), layer.key_dim, layer.kv_heads, cells, streams)
    if context.run.values_transposed:
        values = _look(context.cache("v", cached), cells, layer.kv_heads, layer.value_dim, streams)
    else:
        values = _look(context.cache("v", cached), layer.value_dim, layer.kv_heads, cells, streams)
    return _heads(context, q, keys, values, block, compressed=None)


def _turned(source: Tensor, matrix: Tensor) -> Tensor:
    side = matrix.ne[0]
    rows = source.ne[0] * source.ne[1] * source.ne[2] * source.ne[3] // side
    flat = op.reshape(source, side, rows) if source.is_contiguous else op.cont(source, side, rows)
    return op.reshape(op.mul_mat(matrix, flat), *source.ne)


def _look(cache: Tensor, width: int, heads: int, cells: int, streams: int) -> Tensor:
    return op.view(cache, op.dims(width, heads, cells, streams))


def _store(context: Context, which: str, new: Tensor, block: int, windowed: str) -> None:
    target = context.cache(which, block)
    ids = context.cell_ids(which, windowed)
    width, tokens = new.ne[0] * new.ne[1], context.tokens
    if which == "v" and context.run.values_transposed:
        rows = op.reshape(op.reshape(new, width, tokens), 1, width * tokens)
        target = op.reshape(target, 1, target.ne[0] * target.ne[1] * target.ne[2])
    else:
        rows = op.view(new, op.dims(width, tokens))
        if target.ne[2] > 1:
            target = op.reshape(target, target.ne[0], target.ne[1] * target.ne[2])
    context.graph.expand(op.set_rows(target, rows, ids))


def _heads(
    context: Context, q: Tensor, k: Tensor, v: Tensor, block: int, *, compressed: Tensor | None
) -> Tensor:
    """All heads of all streams: one fused node, or scores, their softmax and the sum."""
    streams = k.ne[3]
    split = op.dims(q.ne[0], q.ne[1], q.ne[2] // streams, streams)
    q = op.view(q, split, (q.nb[0], q.nb[1], q.nb[2], q.nb[2] * split[2]))
    q, k, v = (op.permute(one, 0, 2, 1, 3) for one in (q, k, v))
    mask = context.mask(context.hparams.layers[block])
    sinks = context.maybe(f"blk.{block}.attn_sinks.weight")
    extra = () if sinks is None else (sinks,)
    if context.run.flash_attention:
        made = op.new("flash_attn", (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), (q, k, v, mask, *extra))
        context.fused.append((made, block))
        if compressed is not None:
            made = op.mul_mat(compressed, op.permute(made, 0, 2, 1, 3))
            made = op.cont(op.permute(made, 0, 2, 1, 3))
        made = op.reshape(made, made.ne[0] * made.ne[1], made.ne[2] * made.ne[3])
    else:
        made = _plain(context, q, k, v, (mask, *extra), compressed)
    context.graph.expand(made)
    return made


def _plain(
    context: Context, q: Tensor, k: Tensor, v: Tensor, mask: tuple[Tensor, ...], compressed: Tensor | None
) -> Tensor:
    scores = op.mul_mat(k, q)
    if context.recipe.capped_scores:
        scores = op.like("scale", op.like("unary", op.like("scale", scores)))
    scores = op.like("soft_max", scores, *mask)
    if compressed is not None or not context.run.values_transposed:  # MLA's V is a part of K
        v = op.cont(op.transpose(v))
    made = op.mul_mat(v, scores)
    if compressed is not None:
        made = op.mul_mat(compressed, made)
    made = op.permute(made, 0, 2, 1, 3)
    made = op.cont(made, made.ne[0] * made.ne[1], made.ne[2] * made.ne[3])
    if not context.run.kv_offload and context.run.pinned:
        made.pinned = context.cpu
    return made


def _mla(context: Context, source: Tensor, block: int) -> Tensor:
    """Multi-head latent attention with K absorbed: one shared head of the compressed row."""
    name, tokens, hparams = f"blk.{block}", context.tokens, context.hparams
    layer = hparams.layers[block]
    rank, rope = hparams.kv_lora_rank, hparams.rope_dim
    if context.has(f"{name}.attn_q_a.weight"):
        q = context.norm(
            op.mul_mat(context.weight(f"{name}.attn_q_a.weight"), source),
            f"{name}.attn_q_a_norm.weight",
            block,
        )
        q = op.mul_mat(context.weight(f"{name}.attn_q_b.weight"), q)
    else:
        q = op.mul_mat(context.weight(f"{name}.attn_q.weight"), source)
    q = op.reshape(q, hparams.mla_key_dim, layer.heads, tokens)
    both = op.mul_mat(context.weight(f"{name}.attn_kv_a_mqa.weight"), source)
    row = both.nb[1]
    compressed = op.view(both, op.dims(rank, tokens), (F32, row, row * tokens, row * tokens))
    k_rope = op.view(both, op.dims(rope, 1, tokens), (F32, row, row, row * tokens))
    k_rope = _rotated(context, k_rope, block)
    compressed = context.norm(compressed, f"{name}.attn_kv_a_norm.weight", block)
    plain = op.view(q, op.dims(hparams.mla_key_dim - rope, layer.heads, tokens), q.nb)
    q_rope = _rotated(context, op.view(q, op.dims(rope, layer.heads, tokens), q.nb), block)
    absorbed = op.mul_mat(context.weight(f"{name}.attn_k_b.weight"), op.permute(plain, 0, 2, 1, 3))
    absorbed = op.permute(absorbed, 0, 2, 1, 3)
    q = op.concat(absorbed, q_rope, 0)
    compressed = op.reshape(compressed, rank, 1, tokens)
    k = op.concat(compressed, k_rope, 0)
    context.graph.expand(q, compressed, k)
    _store(context, "k", k, block, "")
    cells, streams = kv_cache.cells(layer, hparams, context.run), context.run.streams
    keys = _look(context.cache("k", block), layer.key_dim, 1, cells, streams)
    values = op.view(keys, op.dims(rank, 1, cells, streams), keys.nb)
    made = _heads(context, q, keys, values, block, compressed=context.weight(f"{name}.attn_v_b.weight"))
    return context.linear(made, f"{name}.attn_output")
