"""Layers that keep a state instead of a cache: the gated delta net, and Mamba's state space.

Source: llama.cpp ``build_rs``, ``llm_build_delta_net_base`` and ``src/models/qwen3next.cpp``.
"""

from planner.graph import tensor as op
from planner.graph.context import Context
from planner.graph.tensor import F32, I32, Tensor


def states(context: Context, which: str, block: int) -> Tensor:
    """The states of this batch's sequences; the rest is copied where it belongs."""
    every = context.state(which, block)
    width, count = every.ne[0], context.run.sequences
    rows = op.reshape(every, width, count)
    nothing = op.view(rows, op.dims(0), rows.nb)
    zeroed = op.view(nothing, nothing.ne, nothing.nb, op="scale")
    context.graph.expand(zeroed)
    ids = context.given("state rows", count, element=I32)
    fetched = op.get_rows(rows, ids)
    mine = op.view(fetched, op.dims(width, count), fetched.nb)
    context.graph.expand(mine)
    rest = op.view(fetched, op.dims(width, 0), fetched.nb)
    context.graph.expand(op.copy_into(rest, op.view(every, op.dims(width, 0), every.nb)))
    return mine


def convolved(context: Context, source: Tensor, block: int) -> Tensor:
    """``source`` behind the last rows of the tokens before; the new last rows go back to the state."""
    kernel = context.hparams.conv_kernel
    channels, count = source.ne[0], context.run.sequences
    every = context.state("r", block)
    kept = op.reshape(states(context, "r", block), kernel - 1, channels, count)
    made = op.concat(kept, op.transpose(source), 0)
    last = op.view(made, op.dims(kernel - 1, channels, count), made.nb)
    target = op.view(every, op.dims((kernel - 1) * channels, count), every.nb)
    context.graph.expand(op.copy_into(last, target))
    return made


def delta_net(context: Context, source: Tensor, block: int) -> Tensor:
    """Linear attention of Qwen3-Next and its like."""
    hparams, name = context.hparams, f"blk.{block}"
    heads, groups, size = hparams.time_step_rank, hparams.state_groups, hparams.state_size
    width = hparams.state_inner // heads
    count = context.run.sequences
    each = context.tokens // count
    mixed = op.mul_mat(context.weight(f"{name}.attn_qkv.weight"), source)
    mixed = op.reshape(mixed, mixed.ne[0], each, count)
    z = op.mul_mat(context.weight(f"{name}.attn_gate.weight"), source)
    beta, gate = _beta_and_gate(context, source, name, each, count)
    conv_input = convolved(context, mixed, block)
    state = op.reshape(states(context, "s", block), width, width, heads, count)
    conv = op.new(
        "ssm_conv",
        op.dims(conv_input.ne[1], each, count),
        (conv_input, context.weight(f"{name}.ssm_conv1d.weight")),
    )
    conv = op.like("unary", conv)
    row = conv.nb[1]
    steps = (F32, size * F32, row, row * each)
    q, k = (
        op.like("scale", op.like("rms_norm", op.view(conv, op.dims(size, groups, each, count), steps)))
        for _ in range(2)
    )
    v = op.view(conv, op.dims(width, heads, each, count), (F32, width * F32, row, row * each))
    if groups != heads:
        q, k = (_repeated(one, heads // groups, each, count) for one in (q, k))
    made = op.new(
        "delta_net", op.dims(width * heads, context.tokens + width * count), (q, k, v, gate, beta, state)
    )
    output = op.view(made, op.dims(width, heads, each, count))
    after = op.view(made, op.dims(width, width, heads, count))
    every = context.state("s", block)
    context.graph.expand(op.copy_into(after, op.view(every, op.dims(every.ne[0], count), every.nb)))
    normed = context.norm(output, f"{name}.ssm_norm.weight", block)
    z = op.like("unary", op.reshape(z, width, heads, each, count))
    flat = op.reshape(op.like("mul", normed, z), width * heads, each, count)
    made = op.mul_mat(context.weight(f"{name}.ssm_out.weight"), flat)
    return op.reshape(made, context.hparams.embd, context.tokens)


def _beta_and_gate(
    context: Context, source: Tensor, name: str, each: int, count: int
) -> tuple[Tensor, Tensor]:
    heads, groups = context.hparams.time_step_rank, context.hparams.state_groups
    both = op.mul_mat(context.weight(f"{name}.ssm_ba.weight"), source)
    both = op.reshape(both, 2 * heads // groups, groups, each, count)
    part = op.dims(heads // groups, groups, each, count)
    beta = op.like("unary", op.cont(op.view(both, part, both.nb)))
    alpha = op.cont(op.view(both, part, both.nb), heads, each, count)
    alpha = op.like("add", alpha, context.weight(f"{name}.ssm_dt.bias"))
    gate = op.like("mul", op.like("unary", alpha), context.weight(f"{name}.ssm_a"))
    return op.reshape(beta, 1, heads, each, count), op.reshape(gate, 1, heads, each, count)


def _repeated(source: Tensor, times: int, each: int, count: int) -> Tensor:
    size, groups = source.ne[0], source.ne[1]
    flat = op.reshape(source, size, 1, groups, each * count)
    made = op.new("repeat", op.dims(size, times, groups, each * count), (flat,))
    return op.reshape(made, size, groups * times, each, count)
