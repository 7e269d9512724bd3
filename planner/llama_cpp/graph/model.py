"""The graph of one batch through a whole language model."""

from planner.llama_cpp.graph import gemma, text_encoder
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.attention import attention
from planner.llama_cpp.graph.builder import GraphBuilder, UnsupportedGraphError
from planner.llama_cpp.graph.feedforward import expert_scores, feed_forward
from planner.llama_cpp.graph.mamba import mamba1, mamba2
from planner.llama_cpp.graph.pooling import pool
from planner.llama_cpp.graph.recurrent import gated_delta_net, kimi_delta_attention, short_convolution
from planner.llama_cpp.graph.tensor import I32, I64, Graph, Tensor

# Architectures without batches of tokens and embeddings together. Source: ``llm_arch_supports_mixed_batch``.
WITHOUT_MIXED_BATCHES = frozenset(
    {"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"}
)


def build(builder: GraphBuilder) -> Graph:
    """All nodes in the engine's order. ``builder.blocks``: the blocks to build."""
    embedding = residual = _embedding(builder)
    if builder.hparams.architecture in text_encoder.ARCHITECTURES:
        return text_encoder.build(builder, embedding)
    recipe = builder.recipe
    layer_vectors = gemma.per_layer_embeddings(builder, residual)
    if recipe.has_altup:
        residual = gemma.altup_project(builder, residual)
    last = builder.blocks[-1] if builder.blocks else None
    for block in builder.blocks:
        if recipe.has_altup and layer_vectors is not None:
            residual = gemma.gemma3n_block(builder, residual, layer_vectors, block)
        elif recipe.has_gemma4_blocks:
            residual = gemma.gemma4_block(builder, residual, layer_vectors, block)
        else:
            residual = _block(builder, residual, block, is_last=block == last)
        if block < builder.image_vector_blocks:
            residual = op.like("add", residual, op.view(embedding, embedding.ne, embedding.nb))
    if recipe.has_altup:
        residual = op.get_rows(gemma.altup_merge(builder, residual), builder.output_rows())
    _output_head(builder, residual)
    return builder.graph


# Architectures whose head was compared with what the engine reserves for it.
KNOWN_MTP_HEADS = frozenset({"qwen35", "qwen35moe"})


def build_mtp(builder: GraphBuilder) -> Graph:
    """The graph of a multi-token-prediction head: a token's embedding and the model's hidden state, joined,
    through the first of its blocks. Source: ``graph_mtp`` in ``src/models``.

    Raises: UnsupportedGraphError where the head may be laid out otherwise."""
    if builder.hparams.architecture not in KNOWN_MTP_HEADS:
        raise UnsupportedGraphError(f"the head of {builder.hparams.architecture}")
    block = builder.blocks[0]
    name = f"blk.{block}.nextn"
    ids = builder.graph_input("tokens", builder.tokens, element_bytes=I32)
    hidden = builder.graph_input("hidden state", builder.hparams.embedding_length, builder.tokens)
    own_embedding = f"{name}.embed_tokens.weight"
    table = own_embedding if builder.has(own_embedding) else "token_embd.weight"
    token = builder.norm(op.get_rows(builder.weight(table), ids), f"{name}.enorm.weight", block)
    joined = op.concat(token, builder.norm(hidden, f"{name}.hnorm.weight", block), 0)
    cur = _block(builder, builder.linear(joined, f"{name}.eh_proj"), block, is_last=False)
    own_norm = f"{name}.shared_head_norm.weight"
    cur = builder.norm(cur, own_norm if builder.has(own_norm) else "output_norm.weight", None)
    cur.is_output = True
    cur = op.get_rows(cur, builder.output_rows())
    own_head = f"{name}.shared_head_head"
    if builder.has(f"{own_head}.weight"):
        cur = builder.linear(cur, own_head)
    else:
        cur = op.mul_mat(builder.output_matrix(), cur)
    cur.is_output = True
    builder.graph.expand(cur)
    return builder.graph


def _embedding(builder: GraphBuilder) -> Tensor:
    """Inputs are token ids, embeddings or both: the graph holds all three, whichever is used."""
    ids = builder.graph_input("tokens", builder.tokens, element_bytes=I32)
    width = builder.hparams.embedding_length * (1 + builder.image_vector_blocks)
    embeddings = builder.graph_input("vectors", width, builder.tokens)
    cur = _pad_for_image_vectors(builder, op.get_rows(builder.weight("token_embd.weight"), ids))
    builder.graph.expand(cur, embeddings)
    if builder.cparams.mixed_batches and builder.hparams.architecture not in WITHOUT_MIXED_BATCHES:
        mixed_ids = builder.graph_input("mixed tokens", builder.tokens, element_bytes=I32)
        slots = builder.graph_input("mixed slots", builder.tokens, element_bytes=I64)
        mixed = builder.graph_input("mixed vectors", width, builder.tokens)
        rows = _pad_for_image_vectors(builder, op.get_rows(builder.weight("token_embd.weight"), mixed_ids))
        builder.graph.expand(op.set_rows(op.like("dup", mixed), rows, slots))
    if builder.recipe.scales_embedding_rows:
        cur = op.like("mul", cur, builder.graph_input("row scales", 1, builder.tokens))
    if builder.recipe.scales_embedding:
        cur = op.like("scale", cur)
    if builder.image_vector_blocks:
        cur = op.view(cur, op.dims(builder.hparams.embedding_length, builder.tokens), cur.nb)
    builder.graph.expand(cur)
    return cur


def _pad_for_image_vectors(builder: GraphBuilder, rows: Tensor) -> Tensor:
    """Makes room for the embeddings that an image adds to the outputs of the first blocks."""
    if not builder.image_vector_blocks:
        return rows
    return op.new("pad", op.dims(rows.ne[0] * (1 + builder.image_vector_blocks), rows.ne[1]), (rows,))


def _block(builder: GraphBuilder, residual: Tensor, block: int, *, is_last: bool) -> Tensor:
    name, recipe = f"blk.{block}", builder.recipe
    normed = _pre_norm(builder, residual, f"{name}.attn_norm.weight", block)
    scores = expert_scores(builder, residual, block) if recipe.routes_block_input else None
    cur = _mixer(builder, normed, block, residual)
    if recipe.single_part_blocks:
        return op.like("add", cur, residual)
    if recipe.parallel_mixers:
        return _after_parallel_mixers(builder, cur, residual, block, is_last=is_last)
    has_sandwich_norms = builder.has(f"{name}.post_ffw_norm.weight")
    if has_sandwich_norms and recipe.selects_rows_after_post_norm:
        cur = builder.norm(cur, f"{name}.post_attention_norm.weight", block)
    if is_last and not recipe.selects_rows_after_blocks:
        cur, residual, normed, scores = _select_output_rows(builder, cur, residual, normed, scores)
    if recipe.parallel_residual:
        return op.like("add", op.like("add", feed_forward(builder, normed, block), residual), cur)
    if has_sandwich_norms and not recipe.selects_rows_after_post_norm:
        cur = builder.norm(cur, f"{name}.post_attention_norm.weight", block)
    if builder.hparams.layers[block].heads or builder.hparams.layers[block].is_recurrent:
        residual = _add_residual(builder, cur, residual, "first")
    return _feed_forward_part(builder, residual, block, has_sandwich_norms=has_sandwich_norms, scores=scores)


def _select_output_rows(
    builder: GraphBuilder, cur: Tensor, residual: Tensor, normed: Tensor, scores: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Keeps, of all that is read later, the rows of tokens that have an output."""
    rows = builder.output_rows()
    builder.tokens = builder.output_tokens
    return (
        op.get_rows(cur, rows),
        op.get_rows(residual, rows),
        op.get_rows(normed, rows) if builder.recipe.parallel_residual else normed,
        None if scores is None else op.get_rows(scores, rows),
    )


def _feed_forward_part(
    builder: GraphBuilder,
    residual: Tensor,
    block: int,
    *,
    has_sandwich_norms: bool = False,
    scores: Tensor | None = None,
) -> Tensor:
    name = f"blk.{block}"
    if not _has_feed_forward(builder, name):
        return residual
    has_ffn_norm = has_sandwich_norms or _has_norm(builder, f"{name}.ffn_norm")
    norm = "ffn_norm" if has_ffn_norm else "post_attention_norm"
    normed = _pre_norm(builder, residual, f"{name}.{norm}.weight", block)
    cur = feed_forward(builder, normed, block, scores=scores)
    if has_sandwich_norms:
        cur = builder.norm(cur, f"{name}.post_ffw_norm.weight", None)
    return _add_residual(builder, cur, residual, "second")


def _after_parallel_mixers(
    builder: GraphBuilder, cur: Tensor, residual: Tensor, block: int, *, is_last: bool
) -> Tensor:
    """Falcon H1 adds attention and Mamba of the same norm, which is computed twice."""
    name = f"blk.{block}"
    mamba_output = mamba2(builder, builder.norm(residual, f"{name}.attn_norm.weight", block), block)
    residual = op.like("add", op.like("add", cur, mamba_output), residual)
    if is_last:
        residual = op.get_rows(residual, builder.output_rows())
        builder.tokens = builder.output_tokens
    return _feed_forward_part(builder, residual, block)


def _has_norm(builder: GraphBuilder, name: str) -> bool:
    return builder.has(f"{name}.weight") or builder.has(name)


def _has_feed_forward(builder: GraphBuilder, name: str) -> bool:
    return any(builder.has(f"{name}.{part}.weight") for part in ("ffn_up", "ffn_gate_inp"))


def _pre_norm(builder: GraphBuilder, source: Tensor, name: str, block: int) -> Tensor:
    """The norm before a part. Some architectures have norms after their parts only."""
    if builder.recipe.has_post_norms_only and not builder.has(name):
        return source
    return builder.norm(source, name, block)


def _mixer(builder: GraphBuilder, source: Tensor, block: int, residual: Tensor) -> Tensor:
    """Attention, a recurrent layer, or, in blocks of a single part, a feed-forward."""
    layer, name, recipe = builder.hparams.layers[block], f"blk.{block}", builder.recipe
    if layer.is_recurrent and not recipe.parallel_mixers:
        return _recurrent(builder, source, block)
    if recipe.single_part_blocks and not layer.has_kv:
        return feed_forward(builder, source, block)
    if not layer.heads:
        return residual
    if not layer.kv_heads and builder.has(f"{name}.attn_output.weight"):
        return builder.linear(source, f"{name}.attn_output")
    return attention(builder, source, block)


def _recurrent(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    name = f"blk.{block}"
    if builder.has(f"{name}.ssm_x.weight"):
        return mamba1(builder, source, block)
    if builder.has(f"{name}.ssm_in.weight"):
        return mamba2(builder, source, block)
    if builder.has(f"{name}.shortconv.in_proj.weight"):
        return short_convolution(builder, source, block)
    builder.graph.expand(source)
    if builder.has(f"{name}.ssm_f_a.weight"):
        return kimi_delta_attention(builder, source, block)
    if not builder.hparams.ssm.time_step_rank:
        raise UnsupportedGraphError(f"{name} has a recurrent state of an unknown kind")
    return gated_delta_net(builder, source, block)


def _add_residual(builder: GraphBuilder, cur: Tensor, residual: Tensor, part: str) -> Tensor:
    cur = _scaled(builder, cur)
    if builder.recipe.residual_first in (part, "both"):
        return op.like("add", residual, cur)
    return op.like("add", cur, residual)


def _scaled(builder: GraphBuilder, source: Tensor) -> Tensor:
    return op.like("scale", source) if builder.recipe.scales_residual else source


def _output_head(builder: GraphBuilder, residual: Tensor) -> None:
    recipe = builder.recipe
    if recipe.kept_outputs == "both":
        residual.is_output = True
        residual = op.get_rows(residual, builder.output_rows())
    norm = "output_norm" if builder.has("output_norm.weight") else "token_embd_norm"
    cur = builder.norm(residual, f"{norm}.weight", None)
    cur.is_output = True
    if recipe.selects_rows_after_blocks and recipe.kept_outputs == "norm":
        cur = op.get_rows(cur, builder.output_rows())
        cur.is_output = True
    vectors = cur
    cur = op.mul_mat(builder.output_matrix(), cur)
    if builder.has("output.bias"):
        cur = op.like("add", cur, builder.weight("output.bias"))
    if recipe.caps_logits:
        cur = op.like("scale", op.like("unary", op.like("scale", cur)))
    if recipe.scales_logits:
        cur = op.like("scale", cur)
    cur.is_output = True
    builder.graph.expand(cur)
    pool(builder, vectors)
