"""The feed-forward part of a block: dense, or a mixture of experts with or without a shared one.

Source: llama.cpp ``llm_graph_context::build_ffn`` and ``build_moe_ffn``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import Context
from planner.llama_cpp.graph.tensor import I32, Tensor

# LLAMA_EXPERT_GATING_FUNC_TYPE in the header.
GATES: dict[object, str] = {1: "softmax", 2: "sigmoid", 3: "softmax_late"}


def feed_forward(context: Context, source: Tensor, block: int, *, scores: Tensor | None = None) -> Tensor:
    """``scores`` of the experts, where something else than ``source`` chooses them."""
    name = f"blk.{block}"
    if not context.has(f"{name}.ffn_gate_inp.weight"):
        return dense(context, source, f"{name}.ffn", "")
    if context.has(f"{name}.ffn_latent_down.weight"):
        made = _latent(context, source, block)
    else:
        made = experts(context, source, block, scores=scores)
    if not context.has(f"{name}.ffn_up_shexp.weight"):
        return made
    shared = dense(context, source, f"{name}.ffn", "_shexp")
    if context.has(f"{name}.ffn_gate_inp_shexp.weight"):
        gate = op.like("unary", op.mul_mat(context.weight(f"{name}.ffn_gate_inp_shexp.weight"), source))
        shared = op.like("mul", shared, gate)
    return op.like("add", made, shared)


def expert_scores(context: Context, source: Tensor, block: int) -> Tensor:
    return context.linear(source, f"blk.{block}.ffn_gate_inp")


def _latent(context: Context, source: Tensor, block: int) -> Tensor:
    """Experts that work in a narrower space; the router reads the full width."""
    name = f"blk.{block}"
    narrow = op.mul_mat(context.weight(f"{name}.ffn_latent_down.weight"), source)
    made = experts(context, narrow, block, scores=expert_scores(context, source, block))
    return op.mul_mat(context.weight(f"{name}.ffn_latent_up.weight"), made)


def dense(context: Context, source: Tensor, name: str, suffix: str) -> Tensor:
    up = context.linear(source, f"{name}_up{suffix}")
    if context.has(f"{name}_gate{suffix}.weight"):
        made = op.like("glu", context.linear(source, f"{name}_gate{suffix}"), up)
    elif up.ne[0] == 2 * context.weight(f"{name}_down{suffix}.weight").ne[0]:
        made = op.new("glu", (up.ne[0] // 2, up.ne[1], up.ne[2], up.ne[3]), (up,))
    else:
        made = op.like("sqr", op.like("unary", up))
    return context.linear(made, f"{name}_down{suffix}")


def experts(context: Context, source: Tensor, block: int, *, scores: Tensor | None = None) -> Tensor:
    name, tokens = f"blk.{block}", context.tokens
    used = context.hparams.experts_used
    if scores is None:
        scores = expert_scores(context, source, block)
    chosen, weights = _route(context, scores, block)
    source = op.reshape(source, source.ne[0], 1, tokens)
    if context.recipe.weights_first:
        source = op.like("mul", op.new("repeat", op.dims(source.ne[0], used, tokens), (source,)), weights)
    made = _inner(context, source, chosen, name)
    made = op.mul_mat_id(context.weight(f"{name}.ffn_down_exps.weight"), made, chosen)
    made = _biased(context, made, f"{name}.ffn_down_exps.bias", chosen)
    if not context.recipe.weights_first:
        made = op.like("mul", made, weights)
    context.graph.expand(made)
    width = (made.nb[0], made.nb[2], made.nb[2] * tokens, made.nb[2] * tokens)
    parts = [op.view(made, op.dims(made.ne[0], tokens), width) for _ in range(used)]
    context.graph.expand(*parts)
    total = parts[0]
    for part in parts[1:]:
        total = op.like("add", total, part)
        context.graph.expand(total)
    return op.cont(total) if used == 1 else total


def _route(context: Context, scores: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Which experts, and with which weights."""
    name, tokens, recipe = f"blk.{block}", context.tokens, context.recipe
    used, count = context.hparams.experts_used, context.hparams.experts
    gate = GATES.get(context.header("expert_gating_func"), recipe.gate)
    late = gate == "softmax_late"
    chances = scores if late else op.like("soft_max" if gate == "softmax" else "unary", scores)
    ranked = scores if recipe.weights_first else chances
    bias = context.maybe(f"{name}.exp_probs_b.bias")
    if bias is not None:
        ranked = op.like("add", chances, bias)
    order = op.new("argsort", ranked.ne, (ranked,), I32)
    chosen = op.view(order, op.dims(used, tokens), order.nb)
    weights = op.get_rows(op.reshape(chances, 1, count, tokens), chosen)
    if late:
        weights = op.like("soft_max", op.reshape(weights, used, tokens))
        weights = op.reshape(weights, 1, used, tokens)
    normed = context.header("expert_weights_norm")
    if recipe.norm_weights if normed is None else normed:
        flat = op.reshape(weights, used, tokens)
        total = op.like("clamp", op.new("sum_rows", op.dims(1, tokens), (flat,)))
        weights = op.reshape(op.like("div", flat, total), 1, used, tokens)
    if _scale(context):
        weights = op.like("scale", weights)
    context.graph.expand(weights)
    return chosen, weights


def _scale(context: Context) -> bool:
    value = context.header("expert_weights_scale")
    return isinstance(value, (int, float)) and value not in (0.0, 1.0)


def _inner(context: Context, source: Tensor, chosen: Tensor, name: str) -> Tensor:
    if context.has(f"{name}.ffn_gate_up_exps.weight"):
        both = op.mul_mat_id(context.weight(f"{name}.ffn_gate_up_exps.weight"), source, chosen)
        half = op.dims(both.ne[0] // 2, both.ne[1], both.ne[2])
        gate, up = op.view(both, half, both.nb), op.view(both, half, both.nb)
        return op.new("glu", half, (gate, up))
    up = op.mul_mat_id(context.weight(f"{name}.ffn_up_exps.weight"), source, chosen)
    up = _biased(context, up, f"{name}.ffn_up_exps.bias", chosen)
    if not context.has(f"{name}.ffn_gate_exps.weight"):
        return op.like("sqr", op.like("unary", up))
    gate = op.mul_mat_id(context.weight(f"{name}.ffn_gate_exps.weight"), source, chosen)
    gate = _biased(context, gate, f"{name}.ffn_gate_exps.bias", chosen)
    return op.like("glu", gate, up)


def _biased(context: Context, source: Tensor, name: str, chosen: Tensor) -> Tensor:
    bias = context.maybe(name)
    return source if bias is None else op.like("add_id", source, bias, chosen)
