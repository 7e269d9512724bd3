"""Layers that keep a state instead of a cache: gated delta nets and short convolutions.

Source: llama.cpp ``build_rs``, ``llm_build_delta_net_base``, ``src/models/qwen3next.cpp``,
``kimi-linear.cpp`` and ``lfm2.cpp``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import Context
from planner.llama_cpp.graph.tensor import F32, I32, Tensor


def states(context: Context, which: str, block: int) -> Tensor:
    """The states of this batch's sequences; the rest is copied where it belongs."""
    every = context.state(which, block)
    width, count = every.ne[0], context.run.sequences
    rows = op.reshape(every, width, count)
    cleared(context, rows)
    ids = context.given("state rows", count, element=I32)
    fetched = op.get_rows(rows, ids)
    mine = op.view(fetched, op.dims(width, count), fetched.nb)
    context.graph.expand(mine)
    rest = op.view(fetched, op.dims(width, 0), fetched.nb)
    context.graph.expand(op.copy_into(rest, op.view(every, op.dims(width, 0), every.nb)))
    return mine


def cleared(context: Context, rows: Tensor) -> None:
    """A new sequence begins with zeros, written in place."""
    first = op.view(rows, op.dims(rows.ne[0]), rows.nb)
    context.graph.expand(op.view(first, first.ne, first.nb, op="scale"))


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
    gates = _beta_and_gate if context.has(f"{name}.ssm_ba.weight") else _gates_apart
    beta, gate = gates(context, source, name, each, count)
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
    if groups != heads and context.has(f"{name}.ssm_ba.weight"):
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


def _gates_apart(context: Context, source: Tensor, name: str, each: int, count: int) -> tuple[Tensor, Tensor]:
    """As Qwen 3.5 has them: a matrix for each."""
    heads = context.hparams.time_step_rank
    beta = op.mul_mat(context.weight(f"{name}.ssm_beta.weight"), source)
    beta = op.like("unary", op.reshape(beta, 1, heads, each, count))
    alpha = op.reshape(op.mul_mat(context.weight(f"{name}.ssm_alpha.weight"), source), heads, each, count)
    alpha = op.like("add", alpha, context.weight(f"{name}.ssm_dt.bias"))
    gate = op.like("mul", op.like("unary", alpha), context.weight(f"{name}.ssm_a"))
    return beta, op.reshape(gate, 1, heads, each, count)


def _repeated(source: Tensor, times: int, each: int, count: int) -> Tensor:
    size, groups = source.ne[0], source.ne[1]
    flat = op.reshape(source, size, 1, groups, each * count)
    made = op.new("repeat", op.dims(size, times, groups, each * count), (flat,))
    return op.reshape(made, size, groups * times, each, count)


def short_convolution(context: Context, source: Tensor, block: int) -> Tensor:
    """LFM2's mixer: three parts of one matrix, one of them convolved with the rows kept from before."""
    name, count = f"blk.{block}.shortconv", context.run.sequences
    width, each = source.ne[0], context.tokens // count
    every = context.state("r", block)
    rows = every.ne[0] // width
    source = op.reshape(source, width, each, count)
    parts = op.mul_mat(context.weight(f"{name}.in_proj.weight"), source)
    b, c, x = (op.view(parts, op.dims(width, each, count), parts.nb) for _ in range(3))
    mixed = op.transpose(op.like("mul", b, x))
    conv = op.reshape(states(context, "r", block), rows, width, count)
    conv = op.concat(conv, mixed, 0)
    last = op.view(conv, op.dims(rows, width, count), conv.nb)
    context.graph.expand(op.copy_into(last, op.view(every, op.dims(every.ne[0], count), every.nb)))
    made = op.new("ssm_conv", op.dims(width, each, count), (conv, context.weight(f"{name}.conv.weight")))
    made = op.mul_mat(context.weight(f"{name}.out_proj.weight"), op.like("mul", c, made))
    return op.reshape(made, width, context.tokens)


def kimi_delta(context: Context, source: Tensor, block: int) -> Tensor:
    """Kimi's delta attention: a decay for each value of a head, and three convolutions."""
    name, count, tokens = f"blk.{block}", context.run.sequences, context.tokens
    size, each = context.weight(f"{name}.ssm_f_a.weight").ne[1], tokens // count
    heads = context.weight(f"{name}.ssm_f_b.weight").ne[1] // size
    kept = states(context, "r", block)
    q, k, v = (_kimi_convolved(context, source, kept, which, block) for which in "qkv")
    decay = op.mul_mat(context.weight(f"{name}.ssm_f_a.weight"), source)
    decay = op.mul_mat(context.weight(f"{name}.ssm_f_b.weight"), decay)
    decay = op.like("unary", op.like("add", decay, context.weight(f"{name}.ssm_dt.bias")))
    decay = op.reshape(decay, size, heads, tokens)
    decay = op.like("mul", decay, op.reshape(context.weight(f"{name}.ssm_a"), 1, heads, 1))
    decay = op.reshape(decay, size, heads, each, count)
    beta = op.mul_mat(context.weight(f"{name}.ssm_beta.weight"), source)
    beta = op.like("unary", op.reshape(beta, 1, heads, each, count))
    state = op.reshape(states(context, "s", block), size, size, heads, count)
    q, k = (op.like("scale", op.like("rms_norm", one)) for one in (q, k))
    made = op.new("delta_net", op.dims(size * heads, tokens + size * count), (q, k, v, decay, beta, state))
    output = op.cont(op.view(made, op.dims(size, heads, each, count)))
    after = op.view(made, op.dims(size, size, heads, count))
    every = context.state("s", block)
    context.graph.expand(op.copy_into(after, op.view(every, op.dims(every.ne[0], count), every.nb)))
    gate = op.mul_mat(context.weight(f"{name}.ssm_g_a.weight"), source)
    gate = op.reshape(op.mul_mat(context.weight(f"{name}.ssm_g_b.weight"), gate), size, heads, tokens)
    normed = context.norm(op.reshape(output, size, heads, tokens), f"{name}.ssm_norm.weight", block)
    made = op.cont(op.like("mul", normed, op.like("unary", gate)), size * heads, tokens)
    return op.mul_mat(context.weight(f"{name}.attn_output.weight"), made)


def _kimi_convolved(context: Context, source: Tensor, kept: Tensor, which: str, block: int) -> Tensor:
    name, count, tokens = f"blk.{block}", context.run.sequences, context.tokens
    size = context.weight(f"{name}.ssm_f_a.weight").ne[1]
    weight = context.weight(f"{name}.ssm_conv1d_{which}.weight")
    made = op.mul_mat(context.weight(f"{name}.attn_{which}.weight"), source)
    inner, rows, each = made.ne[0], weight.ne[0] - 1, tokens // count
    mine = op.view(kept, op.dims(rows, inner, count), (F32, F32 * rows, kept.nb[1], kept.nb[2]))
    conv = op.concat(mine, op.transpose(op.reshape(made, inner, each, count)), 0)
    every = context.state("r", block)
    last = op.view(conv, op.dims(rows, inner, count), conv.nb)
    target = op.view(every, op.dims(rows, inner, count), (F32, F32 * rows, every.nb[1], every.nb[2]))
    context.graph.expand(op.copy_into(last, target))
    made = op.new("ssm_conv", op.dims(inner, each, count), (conv, op.reshape(weight, rows + 1, inner)))
    made = op.like("unary", op.reshape(made, inner, tokens))
    return op.reshape(made, size, inner // size, each, count)
