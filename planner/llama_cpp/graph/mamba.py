"""Mamba layers: selective state spaces, with one value per head or Mamba 2's wider heads.

Source: llama.cpp ``llm_build_mamba_base``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.recurrent import clear_new_state, sequence_states, store_last_rows
from planner.llama_cpp.graph.tensor import F32, Tensor


def mamba1(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Mamba 1. Source: ``build_mamba_layer``."""
    ssm, name, sequences = builder.hparams.ssm, f"blk.{block}", builder.cparams.sequences
    inner, state_size, rank = ssm.inner_size, ssm.state_size, ssm.time_step_rank
    seq_tokens = builder.tokens // sequences
    conv_state = op.reshape(sequence_states(builder, "r", block), ssm.conv_kernel - 1, inner, sequences)
    source = op.reshape(source, source.ne[0], seq_tokens, sequences)
    x_and_z = op.mul_mat(builder.weight(f"{name}.ssm_in.weight"), source)
    x, z = (op.view(x_and_z, op.dims(inner, seq_tokens, sequences), x_and_z.nb) for _ in range(2))
    x = _convolve(builder, conv_state, x, block)
    projected = op.mul_mat(builder.weight(f"{name}.ssm_x.weight"), x)
    dt = op.view(projected, op.dims(rank, seq_tokens, sequences), projected.nb)
    b, c = (
        op.view(
            projected,
            op.dims(state_size, 1, seq_tokens, sequences),
            (F32, state_size * F32, *projected.nb[1:3]),
        )
        for _ in range(2)
    )
    if builder.has(f"{name}.ssm_dt_norm.weight"):
        dt = builder.norm(dt, f"{name}.ssm_dt_norm.weight", block)
        b = builder.norm(b, f"{name}.ssm_b_norm.weight", block)
        c = builder.norm(c, f"{name}.ssm_c_norm.weight", block)
    else:
        dt = op.cont(dt)
    dt = op.mul_mat(builder.weight(f"{name}.ssm_dt.weight"), dt)
    dt = op.like("add", dt, builder.weight(f"{name}.ssm_dt.bias"))
    x_heads = op.reshape(x, 1, inner, seq_tokens, sequences)
    scanned = _selective_scan(builder, block, (x_heads, dt, builder.weight(f"{name}.ssm_a"), b, c))
    y = op.view(scanned, op.dims(inner, seq_tokens, sequences))
    y = op.like("add", y, op.like("mul", x, builder.weight(f"{name}.ssm_d")))
    y = op.like("glu", op.cont(z), y)
    cur = op.mul_mat(builder.weight(f"{name}.ssm_out.weight"), y)
    return op.reshape(cur, cur.ne[0], builder.tokens)


def mamba2(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Mamba 2. Source: ``build_mamba2_layer``."""
    ssm, name, sequences = builder.hparams.ssm, f"blk.{block}", builder.cparams.sequences
    inner, state_size, groups, heads = ssm.inner_size, ssm.state_size, ssm.group_count, ssm.time_step_rank
    width, seq_tokens = inner // heads, builder.tokens // sequences
    channels = inner + 2 * groups * state_size
    conv_state = op.reshape(sequence_states(builder, "r", block), ssm.conv_kernel - 1, channels, sequences)
    projected = op.mul_mat(builder.weight(f"{name}.ssm_in.weight"), source)
    projected = op.reshape(projected, projected.ne[0], seq_tokens, sequences)
    row_stride = projected.nb[1]
    z = op.view(
        projected,
        op.dims(width, heads, seq_tokens, sequences),
        (F32, width * F32, row_stride, row_stride * seq_tokens),
    )
    xbc = op.view(
        projected,
        op.dims(channels, seq_tokens, sequences),
        (F32, row_stride, row_stride * seq_tokens, row_stride * seq_tokens * sequences),
    )
    dt = op.view(
        projected,
        op.dims(heads, seq_tokens, sequences),
        (F32, row_stride, row_stride * seq_tokens, row_stride * seq_tokens * sequences),
    )
    xbc = _convolve(builder, conv_state, xbc, block)
    row_stride = xbc.nb[1]
    x = op.view(
        xbc,
        op.dims(width, heads, seq_tokens, sequences),
        (F32, width * F32, row_stride, row_stride * seq_tokens),
    )
    b, c = (
        op.view(
            xbc,
            op.dims(state_size, groups, seq_tokens, sequences),
            (F32, state_size * F32, row_stride, row_stride * seq_tokens),
        )
        for _ in range(2)
    )
    dt = op.like("add", op.cont(dt), builder.weight(f"{name}.ssm_dt.bias"))
    scanned = _selective_scan(builder, block, (x, dt, builder.weight(f"{name}.ssm_a"), b, c))
    y = op.view(scanned, op.dims(width, heads, seq_tokens, sequences))
    y = op.like("add", y, op.like("mul", x, builder.weight(f"{name}.ssm_d")))
    y = op.like("glu", op.cont(z), y)
    if builder.has(f"{name}.ssm_norm.weight"):
        y = op.reshape(y, inner // groups, groups, seq_tokens, sequences)
        y = builder.norm(y, f"{name}.ssm_norm.weight", block)
    return op.mul_mat(builder.weight(f"{name}.ssm_out.weight"), op.reshape(y, inner, builder.tokens))


def _convolve(builder: GraphBuilder, conv_state: Tensor, xbc: Tensor, block: int) -> Tensor:
    """The causal convolution over the batch, after the rows of the state."""
    name, sequences = f"blk.{block}", builder.cparams.sequences
    padded = op.concat(conv_state, op.transpose(xbc), 0)
    store_last_rows(builder, padded, conv_state.ne, xbc.ne[1], builder.state("r", block))
    cur = op.new(
        "ssm_conv",
        op.dims(padded.ne[1], xbc.ne[1], sequences),
        (padded, builder.weight(f"{name}.ssm_conv1d.weight")),
    )
    return op.like("unary", op.like("add", cur, builder.weight(f"{name}.ssm_conv1d.bias")))


def _selective_scan(builder: GraphBuilder, block: int, inputs: tuple[Tensor, ...]) -> Tensor:
    """The scan reads the states in place, and returns them after its output."""
    all_states, sequences, x = builder.state("s", block), builder.cparams.sequences, inputs[0]
    rows = op.reshape(all_states, all_states.ne[0], all_states.ne[1])
    clear_new_state(builder, rows)
    ids, others = builder.sequence_state_ids()
    other_states = op.get_rows(rows, others)
    heads = op.reshape(rows, builder.hparams.ssm.state_size, x.ne[0], x.ne[1], all_states.ne[1])
    copies = builder.state_copies
    values = x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3] + all_states.ne[0] * sequences * copies
    cur = op.new("ssm_scan", op.dims(values), (heads, *inputs, ids))
    builder.graph.expand(cur)
    no_states = op.view(other_states, op.dims(all_states.ne[0], 0), other_states.nb)
    builder.graph.expand(
        op.copy_into(no_states, op.view(all_states, op.dims(all_states.ne[0], 0), all_states.nb))
    )
    written = op.dims(all_states.ne[0], sequences, min(x.ne[2], copies))
    builder.graph.expand(op.copy_into(op.view(cur, written), op.view(all_states, written, all_states.nb)))
    return cur
