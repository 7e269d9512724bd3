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
    _cleared(context, rows)
    ids = context.given("state rows", count, element=I32)
    fetched = op.get_rows(rows, ids)
    mine = op.view(fetched, op.dims(width, count), fetched.nb)
    context.graph.expand(mine)
    rest = op.view(fetched, op.dims(width, 0), fetched.nb)
    context.graph.expand(op.copy_into(rest, op.view(every, op.dims(width, 0), every.nb)))
    return mine


def _cleared(context: Context, rows: Tensor) -> None:
    """A new sequence begins with zeros: nothing, in the graph of a full batch."""
    nothing = op.view(rows, op.dims(0), rows.nb)
    context.graph.expand(op.view(nothing, nothing.ne, nothing.nb, op="scale"))


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


def mamba2(context: Context, source: Tensor, block: int) -> Tensor:
    """Mamba 2's selective state space. Source: ``llm_build_mamba_base::build_mamba2_layer``."""
    hparams, name, count = context.hparams, f"blk.{block}", context.run.sequences
    inner, size, groups, heads = (
        hparams.state_inner,
        hparams.state_size,
        hparams.state_groups,
        hparams.time_step_rank,
    )
    width, each = inner // heads, context.tokens // count
    channels = inner + 2 * groups * size
    kept = op.reshape(states(context, "r", block), hparams.conv_kernel - 1, channels, count)
    every = op.mul_mat(context.weight(f"{name}.ssm_in.weight"), source)
    every = op.reshape(every, every.ne[0], each, count)
    row = every.nb[1]
    z = op.view(every, op.dims(width, heads, each, count), (F32, width * F32, row, row * each))
    mixed = op.view(every, op.dims(channels, each, count), (F32, row, row * each, row * each * count))
    step = op.view(every, op.dims(heads, each, count), (F32, row, row * each, row * each * count))
    mixed = _mixed(context, kept, mixed, block)
    row = mixed.nb[1]
    x = op.view(mixed, op.dims(width, heads, each, count), (F32, width * F32, row, row * each))
    b, c = (
        op.view(mixed, op.dims(size, groups, each, count), (F32, size * F32, row, row * each))
        for _ in range(2)
    )
    step = op.like("add", op.cont(step), context.weight(f"{name}.ssm_dt.bias"))
    scanned = _scan(context, block, (x, step, context.weight(f"{name}.ssm_a"), b, c))
    y = op.view(scanned, op.dims(width, heads, each, count))
    y = op.like("add", y, op.like("mul", x, context.weight(f"{name}.ssm_d")))
    y = op.like("glu", op.cont(z), y)
    if context.has(f"{name}.ssm_norm.weight"):
        y = op.reshape(y, inner // groups, groups, each, count)
        y = context.norm(y, f"{name}.ssm_norm.weight", block)
    return op.mul_mat(context.weight(f"{name}.ssm_out.weight"), op.reshape(y, inner, context.tokens))


def _mixed(context: Context, kept: Tensor, mixed: Tensor, block: int) -> Tensor:
    """The causal convolution over the batch behind the rows kept from before."""
    name, count = f"blk.{block}", context.run.sequences
    conv = op.concat(kept, op.transpose(mixed), 0)
    last = op.view(conv, kept.ne, conv.nb)
    every = context.state("r", block)
    context.graph.expand(op.copy_into(last, op.view(every, op.dims(every.ne[0], count), every.nb)))
    made = op.new(
        "ssm_conv",
        op.dims(conv.ne[1], mixed.ne[1], count),
        (conv, context.weight(f"{name}.ssm_conv1d.weight")),
    )
    return op.like("unary", op.like("add", made, context.weight(f"{name}.ssm_conv1d.bias")))


def _scan(context: Context, block: int, inputs: tuple[Tensor, ...]) -> Tensor:
    """The scan reads the states where they stand, and returns them behind its output."""
    every, count, x = context.state("s", block), context.run.sequences, inputs[0]
    rows = op.reshape(every, every.ne[0], count)
    _cleared(context, rows)
    ids = context.given("state rows", count, element=I32)
    rest = op.get_rows(rows, op.view(ids, op.dims(max(0, count - 1))))
    heads = op.reshape(rows, context.hparams.state_size, x.ne[0], x.ne[1], count)
    values = x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3] + every.ne[0] * count
    made = op.new("ssm_scan", op.dims(values), (heads, *inputs, op.view(ids, op.dims(count))))
    context.graph.expand(made)
    nothing = op.view(rest, op.dims(every.ne[0], 0), rest.nb)
    context.graph.expand(op.copy_into(nothing, op.view(every, op.dims(every.ne[0], 0), every.nb)))
    after = op.view(made, op.dims(every.ne[0], count))
    context.graph.expand(op.copy_into(after, op.view(every, op.dims(every.ne[0], count), every.nb)))
    return made


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
