"""Builds the graph of an encoder of texts: attention of every token to every other, without a cache.

Source: llama.cpp ``src/models/bert.cpp``, ``modern-bert.cpp``, ``neo-bert.cpp``, ``eurobert.cpp``,
``gemma-embedding.cpp``; ``build_attn_inp_no_cache`` in ``src/llama-graph.cpp``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.attention import normed_heads, split_fused_qkv
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.feedforward import experts
from planner.llama_cpp.graph.pooling import pool
from planner.llama_cpp.graph.tensor import F16, F32, Graph, Tensor

NORMS_AFTER = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"})
NORMS_BEFORE = frozenset({"modern-bert", "neo-bert", "eurobert", "gemma-embedding"})
ARCHITECTURES = NORMS_AFTER | NORMS_BEFORE
_WITHOUT_ROPE = frozenset({"bert", "jina-bert-v2"})


def build(builder: GraphBuilder, embedding: Tensor) -> Graph:
    """``embedding``: the vectors of the batch's tokens."""
    cur = _prepared(builder, embedding)
    last = builder.blocks[-1] if builder.blocks else None
    norms_first = builder.hparams.architecture in NORMS_BEFORE
    block_of = _block_with_norms_first if norms_first else _block_with_norms_last
    for block in builder.blocks:
        cur = block_of(builder, cur, block, is_last=block == last)
    final = "enc.output_norm" if builder.has("enc.output_norm.weight") else "output_norm"
    if builder.has(f"{final}.weight"):
        cur = builder.norm(cur, f"{final}.weight", None)
    cur.is_output = True
    builder.graph.expand(cur)
    pool(builder, cur)
    return builder.graph


def _prepared(builder: GraphBuilder, embedding: Tensor) -> Tensor:
    """With the embeddings of the token's type and position, normed."""
    cur = embedding
    if builder.has("token_types.weight"):
        types = builder.weight("token_types.weight")
        cur = op.like("add", cur, op.view(types, op.dims(types.ne[0])))
    if builder.has("position_embd.weight"):
        positions = op.get_rows(builder.weight("position_embd.weight"), builder.positions())
        cur = op.like("add", positions, cur)
    if builder.has("token_embd_norm.weight"):
        cur = builder.norm(cur, "token_embd_norm.weight", 0)
    return cur


def _block_with_norms_last(builder: GraphBuilder, source: Tensor, block: int, *, is_last: bool) -> Tensor:
    name = f"blk.{block}"
    cur, source = _attention(builder, source, source, block, is_last=is_last)
    cur = builder.norm(op.like("add", cur, source), f"{name}.attn_output_norm.weight", block)
    if builder.has(f"{name}.attn_norm_2.weight"):
        cur = builder.norm(op.like("add", cur, source), f"{name}.attn_norm_2.weight", block)
    cur = op.like("add", _feed_forward(builder, cur, block), cur)
    return builder.norm(cur, f"{name}.layer_output_norm.weight", block)


def _block_with_norms_first(builder: GraphBuilder, source: Tensor, block: int, *, is_last: bool) -> Tensor:
    name, normed = f"blk.{block}", source
    if builder.has(f"{name}.attn_norm.weight"):
        normed = builder.norm(source, f"{name}.attn_norm.weight", block)
    cur, source = _attention(builder, normed, source, block, is_last=is_last)
    cur = _post_norm(builder, cur, f"{name}.post_attention_norm.weight")
    source = op.like("add", cur, source)
    cur = _feed_forward(builder, builder.norm(source, f"{name}.ffn_norm.weight", block), block)
    return op.like("add", _post_norm(builder, cur, f"{name}.post_ffw_norm.weight"), source)


def _post_norm(builder: GraphBuilder, source: Tensor, name: str) -> Tensor:
    return builder.norm(source, name, None) if builder.has(name) else source


def _attention(
    builder: GraphBuilder, source: Tensor, residual: Tensor, block: int, *, is_last: bool
) -> tuple[Tensor, Tensor]:
    """The attention's result and the residual; of the last block the rows of tokens that have an output."""
    cur = builder.linear(_attend(builder, *_heads(builder, source, block), block), f"blk.{block}.attn_output")
    if not is_last:
        return cur, residual
    rows = builder.output_rows()
    builder.tokens = builder.output_tokens
    return op.get_rows(cur, rows), op.get_rows(residual, rows)


def _heads(builder: GraphBuilder, source: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
    layer, name, tokens = builder.hparams.layers[block], f"blk.{block}", builder.tokens
    if builder.has(f"{name}.attn_qkv.weight"):
        q, k, v = split_fused_qkv(builder, source, layer, name)
    else:
        q, k, v = (builder.linear(source, f"{name}.attn_{part}") for part in "qkv")
        q = op.reshape(q, layer.key_dim, layer.heads, tokens)
        k = op.reshape(k, layer.key_dim, layer.kv_heads, tokens)
        v = op.reshape(v, layer.value_dim, layer.kv_heads, tokens)
    q, k = (
        normed_heads(builder, part, f"{name}.attn_{key}_norm.weight", block)
        for part, key in ((q, "q"), (k, "k"))
    )
    if builder.hparams.architecture not in _WITHOUT_ROPE:
        q, k = (op.like("rope", part, builder.positions()) for part in (q, k))
    if builder.recipe.scales_query:
        q = op.like("scale", q)
    return q, k, v


def _attend(builder: GraphBuilder, q: Tensor, k: Tensor, v: Tensor, block: int) -> Tensor:
    builder.graph.expand(q, k, v)
    q, k, v = (op.permute(op.view(q, q.ne, q.nb), 0, 2, 1, 3), *(op.permute(x, 0, 2, 1, 3) for x in (k, v)))
    mask = _mask(builder, block)
    if builder.cparams.flash_attention:
        k, v = (op.new("cpy", part.ne, (part,), F16) for part in (k, v))
        cur = op.new("flash_attn", (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), (q, k, v, mask))
        builder.fused_attention.append((cur, block))
        cur = op.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    else:
        scores = op.like("soft_max", op.mul_mat(k, q), mask)
        cur = op.permute(op.mul_mat(op.cont(op.transpose(v)), scores), 0, 2, 1, 3)
        cur = op.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    builder.graph.expand(cur)
    return cur


def _mask(builder: GraphBuilder, block: int) -> Tensor:
    """Of each token and each other one."""
    suffix = " window" if builder.hparams.layers[block].window else ""
    element_bytes = F16 if builder.cparams.flash_attention else F32
    return builder.graph_input(f"mask{suffix}", builder.tokens, builder.tokens, element_bytes=element_bytes)


def _feed_forward(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    if builder.has(f"{name}.ffn_gate_inp.weight"):
        return experts(builder, source, block)
    up = builder.linear(source, f"{name}.ffn_up")
    if builder.has(f"{name}.ffn_gate.weight"):
        cur = op.like("glu", builder.linear(source, f"{name}.ffn_gate"), up)
    elif up.ne[0] == 2 * builder.weight(f"{name}.ffn_down.weight").ne[0]:
        cur = op.new("glu", (up.ne[0] // 2, up.ne[1], up.ne[2], up.ne[3]), (up,))
    else:
        cur = op.like("unary", up)
    return builder.linear(cur, f"{name}.ffn_down")
