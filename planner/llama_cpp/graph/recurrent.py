"""Recurrent layers: gated delta nets and short convolutions.

Source: llama.cpp ``build_rs``, ``llm_build_delta_net_base``, ``src/models/qwen3next.cpp``,
``kimi-linear.cpp`` and ``lfm2.cpp``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.tensor import F32, I32, Tensor


def sequence_states(builder: GraphBuilder, kind: str, block: int) -> Tensor:
    """The states of this batch's sequences; the others are copied to their places."""
    all_states = builder.state(kind, block)
    width, sequences = all_states.ne[0], builder.cparams.sequences
    rows = op.reshape(all_states, width, all_states.ne[1])
    clear_new_state(builder, rows)
    ids = builder.graph_input("state rows", sequences, element_bytes=I32)
    selected = op.get_rows(rows, ids)
    own_states = op.view(selected, op.dims(width, sequences), selected.nb)
    builder.graph.expand(own_states)
    other_states = op.view(selected, op.dims(width, 0), selected.nb)
    builder.graph.expand(op.copy_into(other_states, op.view(all_states, op.dims(width, 0), all_states.nb)))
    return own_states


def clear_new_state(builder: GraphBuilder, rows: Tensor) -> None:
    """Zeroes the state of a new sequence in place."""
    first = op.view(rows, op.dims(rows.ne[0]), rows.nb)
    builder.graph.expand(op.view(first, first.ne, first.nb, op="scale"))


def store_last_rows(
    builder: GraphBuilder, rows: Tensor, shape: op.Dims, seq_tokens: int, all_states: Tensor
) -> None:
    """The last rows of a convolution become the new state, and those before each of the last tokens the
    states to roll back to. Source: ``K`` in ``llm_build_delta_net_base`` and ``llm_build_mamba_base``."""
    for _ in range(min(seq_tokens, builder.state_copies)):
        target = op.view(all_states, op.dims(all_states.ne[0], builder.cparams.sequences), all_states.nb)
        builder.graph.expand(op.copy_into(op.view(rows, shape, rows.nb), target))


def convolve_with_state(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """``source`` after the rows of the state; its last rows become the new state."""
    kernel = builder.hparams.ssm.conv_kernel
    channels, sequences = source.ne[0], builder.cparams.sequences
    all_states = builder.state("r", block)
    conv_state = op.reshape(sequence_states(builder, "r", block), kernel - 1, channels, sequences)
    cur = op.concat(conv_state, op.transpose(source), 0)
    last_rows = op.dims(kernel - 1, channels, sequences)
    store_last_rows(builder, cur, last_rows, builder.state_copies, all_states)
    return cur


def gated_delta_net(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Linear attention of Qwen3-Next and similar models."""
    ssm, name = builder.hparams.ssm, f"blk.{block}"
    heads, groups, state_size = ssm.time_step_rank, ssm.group_count, ssm.state_size
    width = ssm.inner_size // heads
    sequences = builder.cparams.sequences
    seq_tokens = builder.tokens // sequences
    qkv = op.mul_mat(builder.weight(f"{name}.attn_qkv.weight"), source)
    qkv = op.reshape(qkv, qkv.ne[0], seq_tokens, sequences)
    z = op.mul_mat(builder.weight(f"{name}.attn_gate.weight"), source)
    gates = _fused_gates if builder.has(f"{name}.ssm_ba.weight") else _separate_gates
    beta, gate = gates(builder, source, name, seq_tokens, sequences)
    conv_input = convolve_with_state(builder, qkv, block)
    state = op.reshape(sequence_states(builder, "s", block), width, width, heads, sequences)
    conv = op.new(
        "ssm_conv",
        op.dims(conv_input.ne[1], seq_tokens, sequences),
        (conv_input, builder.weight(f"{name}.ssm_conv1d.weight")),
    )
    conv = op.like("unary", conv)
    row_stride = conv.nb[1]
    strides = (F32, state_size * F32, row_stride, row_stride * seq_tokens)
    q, k = (
        op.like(
            "scale",
            op.like(
                "rms_norm",
                op.view(conv, op.dims(state_size, groups, seq_tokens, sequences), strides),
            ),
        )
        for _ in range(2)
    )
    v = op.view(
        conv,
        op.dims(width, heads, seq_tokens, sequences),
        (F32, width * F32, row_stride, row_stride * seq_tokens),
    )
    if groups != heads and builder.has(f"{name}.ssm_ba.weight"):
        q, k = (_repeat_heads(head, heads // groups, seq_tokens, sequences) for head in (q, k))
    copies = builder.state_copies
    cur = op.new(
        "delta_net",
        op.dims(width * heads, builder.tokens + copies * width * sequences),
        (q, k, v, gate, beta, state),
    )
    output = op.view(cur, op.dims(width, heads, seq_tokens, sequences))
    written = min(seq_tokens, copies)
    new_states = op.view(cur, op.dims(width * width * heads, sequences, written))
    all_states = builder.state("s", block)
    target = op.view(all_states, op.dims(all_states.ne[0], sequences, written), all_states.nb)
    builder.graph.expand(op.copy_into(new_states, target))
    normed = builder.norm(output, f"{name}.ssm_norm.weight", block)
    z = op.like("unary", op.reshape(z, width, heads, seq_tokens, sequences))
    flat = op.reshape(op.like("mul", normed, z), width * heads, seq_tokens, sequences)
    cur = op.mul_mat(builder.weight(f"{name}.ssm_out.weight"), flat)
    return op.reshape(cur, builder.hparams.embedding_length, builder.tokens)


def _fused_gates(
    builder: GraphBuilder, source: Tensor, name: str, seq_tokens: int, sequences: int
) -> tuple[Tensor, Tensor]:
    heads, groups = builder.hparams.ssm.time_step_rank, builder.hparams.ssm.group_count
    both = op.mul_mat(builder.weight(f"{name}.ssm_ba.weight"), source)
    both = op.reshape(both, 2 * heads // groups, groups, seq_tokens, sequences)
    part = op.dims(heads // groups, groups, seq_tokens, sequences)
    beta = op.like("unary", op.cont(op.view(both, part, both.nb)))
    alpha = op.cont(op.view(both, part, both.nb), heads, seq_tokens, sequences)
    alpha = op.like("add", alpha, builder.weight(f"{name}.ssm_dt.bias"))
    gate = op.like("mul", op.like("unary", alpha), builder.weight(f"{name}.ssm_a"))
    beta = op.reshape(beta, 1, heads, seq_tokens, sequences)
    return beta, op.reshape(gate, 1, heads, seq_tokens, sequences)


def _separate_gates(
    builder: GraphBuilder, source: Tensor, name: str, seq_tokens: int, sequences: int
) -> tuple[Tensor, Tensor]:
    """A matrix for each gate, as in Qwen 3.5."""
    heads = builder.hparams.ssm.time_step_rank
    beta = op.mul_mat(builder.weight(f"{name}.ssm_beta.weight"), source)
    beta = op.like("unary", op.reshape(beta, 1, heads, seq_tokens, sequences))
    alpha = op.reshape(
        op.mul_mat(builder.weight(f"{name}.ssm_alpha.weight"), source), heads, seq_tokens, sequences
    )
    alpha = op.like("add", alpha, builder.weight(f"{name}.ssm_dt.bias"))
    gate = op.like("mul", op.like("unary", alpha), builder.weight(f"{name}.ssm_a"))
    return beta, op.reshape(gate, 1, heads, seq_tokens, sequences)


def _repeat_heads(source: Tensor, times: int, seq_tokens: int, sequences: int) -> Tensor:
    state_size, groups = source.ne[0], source.ne[1]
    flat = op.reshape(source, state_size, 1, groups, seq_tokens * sequences)
    cur = op.new("repeat", op.dims(state_size, times, groups, seq_tokens * sequences), (flat,))
    return op.reshape(cur, state_size, groups * times, seq_tokens, sequences)


def short_convolution(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """LFM2's mixer: three parts of one projection, two of them multiplied and convolved with the state."""
    name, sequences = f"blk.{block}.shortconv", builder.cparams.sequences
    width, seq_tokens = source.ne[0], builder.tokens // sequences
    all_states = builder.state("r", block)
    rows = all_states.ne[0] // width
    source = op.reshape(source, width, seq_tokens, sequences)
    parts = op.mul_mat(builder.weight(f"{name}.in_proj.weight"), source)
    b, c, x = (op.view(parts, op.dims(width, seq_tokens, sequences), parts.nb) for _ in range(3))
    qkv = op.transpose(op.like("mul", b, x))
    conv = op.reshape(sequence_states(builder, "r", block), rows, width, sequences)
    conv = op.concat(conv, qkv, 0)
    store_last_rows(builder, conv, op.dims(rows, width, sequences), seq_tokens, all_states)
    cur = op.new(
        "ssm_conv",
        op.dims(width, seq_tokens, sequences),
        (conv, builder.weight(f"{name}.conv.weight")),
    )
    cur = op.mul_mat(builder.weight(f"{name}.out_proj.weight"), op.like("mul", c, cur))
    return op.reshape(cur, width, builder.tokens)


def kimi_delta_attention(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Kimi delta attention: a decay for each value of a head, and three convolutions."""
    name, sequences, tokens = f"blk.{block}", builder.cparams.sequences, builder.tokens
    state_size, seq_tokens = builder.weight(f"{name}.ssm_f_a.weight").ne[1], tokens // sequences
    heads = builder.weight(f"{name}.ssm_f_b.weight").ne[1] // state_size
    conv_state = sequence_states(builder, "r", block)
    q, k, v = (_kimi_convolve(builder, source, conv_state, kind, block) for kind in "qkv")
    decay = op.mul_mat(builder.weight(f"{name}.ssm_f_a.weight"), source)
    decay = op.mul_mat(builder.weight(f"{name}.ssm_f_b.weight"), decay)
    decay = op.like("unary", op.like("add", decay, builder.weight(f"{name}.ssm_dt.bias")))
    decay = op.reshape(decay, state_size, heads, tokens)
    decay = op.like("mul", decay, op.reshape(builder.weight(f"{name}.ssm_a"), 1, heads, 1))
    decay = op.reshape(decay, state_size, heads, seq_tokens, sequences)
    beta = op.mul_mat(builder.weight(f"{name}.ssm_beta.weight"), source)
    beta = op.like("unary", op.reshape(beta, 1, heads, seq_tokens, sequences))
    state = op.reshape(sequence_states(builder, "s", block), state_size, state_size, heads, sequences)
    q, k = (op.like("scale", op.like("rms_norm", head)) for head in (q, k))
    cur = op.new(
        "delta_net",
        op.dims(state_size * heads, tokens + state_size * sequences),
        (q, k, v, decay, beta, state),
    )
    output = op.cont(op.view(cur, op.dims(state_size, heads, seq_tokens, sequences)))
    new_states = op.view(cur, op.dims(state_size, state_size, heads, sequences))
    all_states = builder.state("s", block)
    builder.graph.expand(
        op.copy_into(new_states, op.view(all_states, op.dims(all_states.ne[0], sequences), all_states.nb))
    )
    gate = op.mul_mat(builder.weight(f"{name}.ssm_g_a.weight"), source)
    gate = op.reshape(op.mul_mat(builder.weight(f"{name}.ssm_g_b.weight"), gate), state_size, heads, tokens)
    normed = builder.norm(op.reshape(output, state_size, heads, tokens), f"{name}.ssm_norm.weight", block)
    cur = op.cont(op.like("mul", normed, op.like("unary", gate)), state_size * heads, tokens)
    return op.mul_mat(builder.weight(f"{name}.attn_output.weight"), cur)


def _kimi_convolve(
    builder: GraphBuilder, source: Tensor, conv_state: Tensor, kind: str, block: int
) -> Tensor:
    name, sequences, tokens = f"blk.{block}", builder.cparams.sequences, builder.tokens
    state_size = builder.weight(f"{name}.ssm_f_a.weight").ne[1]
    weight = builder.weight(f"{name}.ssm_conv1d_{kind}.weight")
    cur = op.mul_mat(builder.weight(f"{name}.attn_{kind}.weight"), source)
    inner, rows, seq_tokens = cur.ne[0], weight.ne[0] - 1, tokens // sequences
    own_states = op.view(
        conv_state, op.dims(rows, inner, sequences), (F32, F32 * rows, conv_state.nb[1], conv_state.nb[2])
    )
    conv = op.concat(own_states, op.transpose(op.reshape(cur, inner, seq_tokens, sequences)), 0)
    all_states = builder.state("r", block)
    last_rows = op.view(conv, op.dims(rows, inner, sequences), conv.nb)
    target = op.view(
        all_states, op.dims(rows, inner, sequences), (F32, F32 * rows, all_states.nb[1], all_states.nb[2])
    )
    builder.graph.expand(op.copy_into(last_rows, target))
    cur = op.new(
        "ssm_conv",
        op.dims(inner, seq_tokens, sequences),
        (conv, op.reshape(weight, rows + 1, inner)),
    )
    cur = op.like("unary", op.reshape(cur, inner, tokens))
    return op.reshape(cur, state_size, inner // state_size, seq_tokens, sequences)
