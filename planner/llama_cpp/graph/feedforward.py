"""The feed-forward part of a block: dense, or a mixture of experts with or without a shared one.

Source: llama.cpp ``llm_graph_context::build_ffn`` and ``build_moe_ffn``.
"""

from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.tensor import I32, Tensor

# LLAMA_EXPERT_GATING_FUNC_TYPE in the header.
GATING: dict[object, str] = {1: "softmax", 2: "sigmoid", 3: "softmax_late"}


def feed_forward(
    builder: GraphBuilder, source: Tensor, block: int, *, scores: Tensor | None = None
) -> Tensor:
    """``scores``: the router's output, if its input is not ``source``."""
    name = f"blk.{block}"
    if not builder.has(f"{name}.ffn_gate_inp.weight"):
        return dense(builder, source, f"{name}.ffn", "")
    if builder.has(f"{name}.ffn_latent_down.weight"):
        cur = _latent_experts(builder, source, block)
    else:
        cur = experts(builder, source, block, scores=scores)
    if not builder.has(f"{name}.ffn_up_shexp.weight"):
        return cur
    shared = dense(builder, source, f"{name}.ffn", "_shexp")
    if builder.has(f"{name}.ffn_gate_inp_shexp.weight"):
        gate = op.like("unary", op.mul_mat(builder.weight(f"{name}.ffn_gate_inp_shexp.weight"), source))
        shared = op.like("mul", shared, gate)
    return op.like("add", cur, shared)


def expert_scores(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    return builder.linear(source, f"blk.{block}.ffn_gate_inp")


def _latent_experts(builder: GraphBuilder, source: Tensor, block: int) -> Tensor:
    """Experts on a narrower hidden state; the router reads the full width."""
    name = f"blk.{block}"
    narrow = op.mul_mat(builder.weight(f"{name}.ffn_latent_down.weight"), source)
    cur = experts(builder, narrow, block, scores=expert_scores(builder, source, block))
    return op.mul_mat(builder.weight(f"{name}.ffn_latent_up.weight"), cur)


def dense(builder: GraphBuilder, source: Tensor, name: str, suffix: str) -> Tensor:
    up = builder.linear(source, f"{name}_up{suffix}")
    if builder.has(f"{name}_gate{suffix}.weight"):
        cur = op.like("glu", builder.linear(source, f"{name}_gate{suffix}"), up)
    elif up.ne[0] == 2 * builder.weight(f"{name}_down{suffix}.weight").ne[0]:
        cur = op.new("glu", (up.ne[0] // 2, up.ne[1], up.ne[2], up.ne[3]), (up,))
    else:
        cur = op.like("sqr", op.like("unary", up))
    return builder.linear(cur, f"{name}_down{suffix}")


def experts(builder: GraphBuilder, source: Tensor, block: int, *, scores: Tensor | None = None) -> Tensor:
    name, tokens = f"blk.{block}", builder.tokens
    experts_used = builder.hparams.experts_used
    if scores is None:
        scores = expert_scores(builder, source, block)
    selected, weights = _route(builder, scores, block)
    source = op.reshape(source, source.ne[0], 1, tokens)
    if builder.recipe.weights_expert_input:
        repeated = op.new("repeat", op.dims(source.ne[0], experts_used, tokens), (source,))
        source = op.like("mul", repeated, weights)
    cur = _expert_hidden(builder, source, selected, name)
    cur = op.mul_mat_id(builder.weight(f"{name}.ffn_down_exps.weight"), cur, selected)
    cur = _add_expert_bias(builder, cur, f"{name}.ffn_down_exps.bias", selected)
    if not builder.recipe.weights_expert_input:
        cur = op.like("mul", cur, weights)
    builder.graph.expand(cur)
    strides = (cur.nb[0], cur.nb[2], cur.nb[2] * tokens, cur.nb[2] * tokens)
    per_expert = [op.view(cur, op.dims(cur.ne[0], tokens), strides) for _ in range(experts_used)]
    builder.graph.expand(*per_expert)
    total = per_expert[0]
    for expert_output in per_expert[1:]:
        total = op.like("add", total, expert_output)
        builder.graph.expand(total)
    return op.cont(total) if experts_used == 1 else total


def _route(builder: GraphBuilder, logits: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """The selected experts, and their weights."""
    name, tokens, recipe = f"blk.{block}", builder.tokens, builder.recipe
    experts_used, expert_count = builder.hparams.experts_used, builder.hparams.expert_count
    gating = GATING.get(builder.header("expert_gating_func"), recipe.expert_gating)
    softmax_after_top_k = gating == "softmax_late"
    probabilities = logits
    if not softmax_after_top_k:
        probabilities = op.like("soft_max" if gating == "softmax" else "unary", logits)
    ranking = logits if recipe.weights_expert_input else probabilities
    bias = builder.weight_or_none(f"{name}.exp_probs_b.bias")
    if bias is not None:
        ranking = op.like("add", probabilities, bias)
    order = op.new("argsort", ranking.ne, (ranking,), I32)
    selected = op.view(order, op.dims(experts_used, tokens), order.nb)
    weights = op.get_rows(op.reshape(probabilities, 1, expert_count, tokens), selected)
    if softmax_after_top_k:
        weights = op.like("soft_max", op.reshape(weights, experts_used, tokens))
        weights = op.reshape(weights, 1, experts_used, tokens)
    norms_weights = builder.header("expert_weights_norm")
    if recipe.norms_expert_weights if norms_weights is None else norms_weights:
        flat_weights = op.reshape(weights, experts_used, tokens)
        weight_sum = op.like("clamp", op.new("sum_rows", op.dims(1, tokens), (flat_weights,)))
        weights = op.reshape(op.like("div", flat_weights, weight_sum), 1, experts_used, tokens)
    if _scales_weights(builder):
        weights = op.like("scale", weights)
    builder.graph.expand(weights)
    return selected, weights


def _scales_weights(builder: GraphBuilder) -> bool:
    value = builder.header("expert_weights_scale")
    return isinstance(value, (int, float)) and value not in (0.0, 1.0)


def _expert_hidden(builder: GraphBuilder, source: Tensor, selected: Tensor, name: str) -> Tensor:
    if builder.has(f"{name}.ffn_gate_up_exps.weight"):
        gate_and_up = op.mul_mat_id(builder.weight(f"{name}.ffn_gate_up_exps.weight"), source, selected)
        half_dims = op.dims(gate_and_up.ne[0] // 2, gate_and_up.ne[1], gate_and_up.ne[2])
        gate, up = (
            op.view(gate_and_up, half_dims, gate_and_up.nb),
            op.view(gate_and_up, half_dims, gate_and_up.nb),
        )
        return op.new("glu", half_dims, (gate, up))
    up = op.mul_mat_id(builder.weight(f"{name}.ffn_up_exps.weight"), source, selected)
    up = _add_expert_bias(builder, up, f"{name}.ffn_up_exps.bias", selected)
    if not builder.has(f"{name}.ffn_gate_exps.weight"):
        return op.like("sqr", op.like("unary", up))
    gate = op.mul_mat_id(builder.weight(f"{name}.ffn_gate_exps.weight"), source, selected)
    gate = _add_expert_bias(builder, gate, f"{name}.ffn_gate_exps.bias", selected)
    return op.like("glu", gate, up)


def _add_expert_bias(builder: GraphBuilder, source: Tensor, name: str, selected: Tensor) -> Tensor:
    bias = builder.weight_or_none(name)
    return source if bias is None else op.like("add_id", source, bias, selected)
