"""Mamba's layers: a selective state space, of one value a head or of Mamba 2's wider heads.

Source: llama.cpp ``llm_build_mamba_base``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import Context
from planner.llama_cpp.graph.recurrent import cleared, states
from planner.llama_cpp.graph.tensor import F32, Tensor


def mamba(context: Context, source: Tensor, block: int) -> Tensor:
    """The first Mamba's. Source: ``build_mamba_layer``."""
    hparams, name, count = context.hparams, f"blk.{block}", context.run.sequences
    inner, size, rank = hparams.state_inner, hparams.state_size, hparams.time_step_rank
    each = context.tokens // count
    kept = op.reshape(states(context, "r", block), hparams.conv_kernel - 1, inner, count)
    source = op.reshape(source, source.ne[0], each, count)
    both = op.mul_mat(context.weight(f"{name}.ssm_in.weight"), source)
    x, z = (op.view(both, op.dims(inner, each, count), both.nb) for _ in range(2))
    x = _mixed(context, kept, x, block)
    every = op.mul_mat(context.weight(f"{name}.ssm_x.weight"), x)
    step = op.view(every, op.dims(rank, each, count), every.nb)
    b, c = (
        op.view(every, op.dims(size, 1, each, count), (F32, size * F32, *every.nb[1:3])) for _ in range(2)
    )
    if context.has(f"{name}.ssm_dt_norm.weight"):
        step = context.norm(step, f"{name}.ssm_dt_norm.weight", block)
        b = context.norm(b, f"{name}.ssm_b_norm.weight", block)
        c = context.norm(c, f"{name}.ssm_c_norm.weight", block)
    else:
        step = op.cont(step)
    step = op.mul_mat(context.weight(f"{name}.ssm_dt.weight"), step)
    step = op.like("add", step, context.weight(f"{name}.ssm_dt.bias"))
    wide = op.reshape(x, 1, inner, each, count)
    scanned = _scan(context, block, (wide, step, context.weight(f"{name}.ssm_a"), b, c))
    y = op.view(scanned, op.dims(inner, each, count))
    y = op.like("add", y, op.like("mul", x, context.weight(f"{name}.ssm_d")))
    y = op.like("glu", op.cont(z), y)
    made = op.mul_mat(context.weight(f"{name}.ssm_out.weight"), y)
    return op.reshape(made, made.ne[0], context.tokens)


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
    cleared(context, rows)
    ids, others = context.state_rows()
    rest = op.get_rows(rows, others)
    heads = op.reshape(rows, context.hparams.state_size, x.ne[0], x.ne[1], count)
    values = x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3] + every.ne[0] * count
    made = op.new("ssm_scan", op.dims(values), (heads, *inputs, ids))
    context.graph.expand(made)
    nothing = op.view(rest, op.dims(every.ne[0], 0), rest.nb)
    context.graph.expand(op.copy_into(nothing, op.view(every, op.dims(every.ne[0], 0), every.nb)))
    after = op.view(made, op.dims(every.ne[0], count))
    context.graph.expand(op.copy_into(after, op.view(every, op.dims(every.ne[0], count), every.nb)))
    return made
