"""Tensor tables rebuilt from header facts: which tensors an architecture has, and their dimensions.

Source: the tensor lists that llama.cpp's loaders ask for, per architecture (``src/models``), checked
against the parameter counts and file sizes that engines print.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from catalog.synthetic import bert, gemma4
from catalog.synthetic.facts import facts_reader
from catalog.synthetic.gemma4 import Row
from domain.errors import BadModelError
from domain.models.header import HeaderReader
from domain.models.model import MetadataValue


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one architecture apart from a plain llama.

    ``qk_norm`` is ``head`` (one norm for all heads) or ``all`` (over all heads together);
    ``ffn_norm`` the name of the norm before the feed-forward part; ``merges`` whether the vocabulary
    comes with a list of merges; ``query_gate`` whether the query carries a gate for the output;
    ``one_part`` whether a block is either a mixer or a feed-forward; ``norm_before`` whether a part has a
    norm before it; ``split_gates`` whether the two gates of a delta net are tensors of their own;
    ``short_convolutions`` whether blocks without attention have those of LFM2."""

    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: str = ""
    sinks: bool = False
    fused: bool = False
    sandwich_norms: bool = False
    gated: bool = True
    expert_bias: bool = False
    balance_bias: bool = False
    shared_gate: bool = False
    ffn_norm: str = "ffn_norm"
    merges: bool = True
    query_gate: bool = False
    one_part: bool = False
    norm_before: bool = True
    split_gates: bool = False
    short_convolutions: bool = False


FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "llama4": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(qk_norm="head"),
    "qwen3moe": Family(qk_norm="head"),
    "qwen3vl": Family(qk_norm="head"),
    "qwen3vlmoe": Family(qk_norm="head"),
    "qwen35": Family(qk_norm="head", query_gate=True, split_gates=True, ffn_norm="post_attention_norm"),
    "qwen35moe": Family(
        qk_norm="head", shared_gate=True, query_gate=True, split_gates=True, ffn_norm="post_attention_norm"
    ),
    "qwen3next": Family(qk_norm="head", shared_gate=True, query_gate=True, ffn_norm="post_attention_norm"),
    "gpt-oss": Family(
        qkv_bias=True, out_bias=True, sinks=True, expert_bias=True, ffn_norm="post_attention_norm"
    ),
    "gemma3": Family(qk_norm="head", sandwich_norms=True, merges=False),
    "gemma4": Family(qk_norm="head", sandwich_norms=True),
    "mistral3": Family(),
    "granite": Family(),
    "smollm3": Family(),
    "seed_oss": Family(qkv_bias=True, ffn_norm="post_attention_norm"),
    "olmo2": Family(qk_norm="all", sandwich_norms=True, norm_before=False),
    "lfm2": Family(qk_norm="head", short_convolutions=True),
    "lfm2moe": Family(qk_norm="head", short_convolutions=True, balance_bias=True),
    "bert": Family(merges=False),
    "deepseek2": Family(balance_bias=True),
    "glm4moe": Family(qkv_bias=True, balance_bias=True, ffn_norm="post_attention_norm"),
    "minimax-m2": Family(qk_norm="all", balance_bias=True),
    "phi3": Family(fused=True),
    "granitehybrid": Family(),
    "nemotron_h": Family(gated=False, one_part=True),
    "nemotron_h_moe": Family(gated=False, balance_bias=True, one_part=True),
}


class _Layout:
    """The dimensions that an architecture's tensors follow from."""

    def __init__(self, header: HeaderReader) -> None:
        architecture = header.shape.architecture
        if architecture not in FAMILIES:
            raise BadModelError(f"the tensors of {architecture} are not known")
        self.family = FAMILIES[architecture]
        self.header = header
        self.blocks = self.header.count("block_count")
        self.width = self.header.count("embedding_length")
        self.heads = self.header.count("attention.head_count")
        self.key_dim = self.header.count("attention.key_length", self.width // self.heads)
        self.value_dim = self.header.count("attention.value_length", self.key_dim)
        self.experts = self.header.count("expert_count", 0)

    def is_recurrent(self, block: int) -> bool:
        if self.header.shape.get("ssm.conv_kernel") is None and not self.family.short_convolutions:
            return False
        interval = self.header.count("full_attention_interval", 0)
        if interval:
            return (block + 1) % interval != 0
        return self.header.at_layer("attention.head_count_kv", block) == 0


def rows(architecture: str, facts: Mapping[str, MetadataValue]) -> Iterator[Row]:
    """Every tensor as (name, dimensions in ggml's order).

    Raises: BadModelError for an unknown architecture or a missing fact."""
    layout = _Layout(facts_reader(architecture, facts))
    vocabulary = layout.header.count("vocab_size")
    yield "token_embd.weight", (layout.width, vocabulary)
    if architecture == "bert":
        yield from bert.rows(layout.header, layout.width, layout.blocks)
        return
    last_norm = "token_embd_norm" if layout.family.short_convolutions else "output_norm"
    yield f"{last_norm}.weight", (layout.width,)
    if not layout.header.flag("tied_embeddings"):
        yield "output.weight", (layout.width, vocabulary)
    if layout.header.flag("rope_freqs"):
        yield "rope_freqs.weight", (layout.header.count("rope.dimension_count", layout.key_dim) // 2,)
    if architecture == "gemma4":
        yield from gemma4.tables(layout.header, layout.width, layout.blocks)
    for block in range(layout.blocks):
        for name, dims in _block(layout, block):
            yield f"blk.{block}.{name}", dims


def _block(layout: _Layout, block: int) -> Iterator[Row]:
    if layout.header.shape.architecture == "gemma4":
        yield from gemma4.block(layout.header, layout.width, block)
        return
    if layout.family.norm_before:
        yield "attn_norm.weight", (layout.width,)
    if layout.family.one_part:
        yield from _single_part(layout, block)
        return
    yield from _mixer(layout, block)
    if layout.family.sandwich_norms:
        yield "post_attention_norm.weight", (layout.width,)
        yield "post_ffw_norm.weight", (layout.width,)
    if layout.family.norm_before:
        yield f"{layout.family.ffn_norm}.weight", (layout.width,)
    if layout.experts and block >= layout.header.count("leading_dense_block_count", 0):
        yield from _experts(layout)
    else:
        yield from _feed_forward(layout, "", layout.header.at_layer("feed_forward_length", block))
    if block >= layout.blocks - layout.header.count("nextn_predict_layers", 0):
        yield from _next_token(layout)


def _mixer(layout: _Layout, block: int) -> Iterator[Row]:
    if not layout.is_recurrent(block):
        has_mla = layout.header.count("attention.kv_lora_rank", 0)
        return _mla(layout) if has_mla else _attention(layout, block)
    if layout.family.short_convolutions:
        return _short_convolution(layout)
    if layout.header.count("full_attention_interval", 0):
        return _delta_net(layout)
    return _mamba2(layout)


def _single_part(layout: _Layout, block: int) -> Iterator[Row]:
    if layout.header.at_layer("attention.head_count_kv", block):
        yield from _attention(layout, block)
    elif length := layout.header.at_layer("feed_forward_length", block):
        yield from _experts(layout) if layout.experts else _feed_forward(layout, "", length)
    else:
        yield from _mamba2(layout)


def _attention(layout: _Layout, block: int) -> Iterator[Row]:
    query = layout.heads * layout.key_dim * (2 if layout.family.query_gate else 1)
    kv_heads = layout.header.at_layer("attention.head_count_kv", block)
    key, value = kv_heads * layout.key_dim, kv_heads * layout.value_dim
    if layout.family.fused:
        yield "attn_qkv.weight", (layout.width, query + key + value)
    else:
        for name, length in (("attn_q", query), ("attn_k", key), ("attn_v", value)):
            yield f"{name}.weight", (layout.width, length)
            if layout.family.qkv_bias:
                yield f"{name}.bias", (length,)
    yield "attn_output.weight", (layout.heads * layout.value_dim, layout.width)
    if layout.family.out_bias:
        yield "attn_output.bias", (layout.width,)
    if layout.family.sinks:
        yield "attn_sinks.weight", (layout.heads,)
    if layout.family.qk_norm or layout.header.flag("qk_norm"):
        over_all = layout.family.qk_norm == "all"
        yield "attn_q_norm.weight", (query if over_all else layout.key_dim,)
        yield "attn_k_norm.weight", (key if over_all else layout.key_dim,)


def _mla(layout: _Layout) -> Iterator[Row]:
    rank, rope = layout.header.count("attention.kv_lora_rank"), layout.header.count("rope.dimension_count")
    key, value = (
        layout.header.count("attention.key_length_mla"),
        layout.header.count("attention.value_length_mla"),
    )
    query_rank = layout.header.count("attention.q_lora_rank", 0)
    if query_rank:
        yield "attn_q_a.weight", (layout.width, query_rank)
        yield "attn_q_a_norm.weight", (query_rank,)
        yield "attn_q_b.weight", (query_rank, layout.heads * key)
    else:
        yield "attn_q.weight", (layout.width, layout.heads * key)
    yield "attn_kv_a_mqa.weight", (layout.width, rank + rope)
    yield "attn_kv_a_norm.weight", (rank,)
    yield "attn_k_b.weight", (key - rope, rank, layout.heads)
    yield "attn_v_b.weight", (rank, value, layout.heads)
    yield "attn_output.weight", (layout.heads * value, layout.width)


def _delta_net(layout: _Layout) -> Iterator[Row]:
    state, heads = layout.header.count("ssm.state_size"), layout.header.count("ssm.time_step_rank")
    keys, values = state * layout.header.count("ssm.group_count"), state * heads
    yield "attn_qkv.weight", (layout.width, 2 * keys + values)
    yield "attn_gate.weight", (layout.width, values)
    yield "ssm_conv1d.weight", (layout.header.count("ssm.conv_kernel"), 2 * keys + values)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (heads,)
    if layout.family.split_gates:
        yield "ssm_alpha.weight", (layout.width, heads)
        yield "ssm_beta.weight", (layout.width, heads)
    else:
        yield "ssm_ba.weight", (layout.width, 2 * heads)
    yield "ssm_norm.weight", (state,)
    yield "ssm_out.weight", (values, layout.width)


def _short_convolution(layout: _Layout) -> Iterator[Row]:
    yield "shortconv.conv.weight", (layout.header.count("shortconv.l_cache"), layout.width)
    yield "shortconv.in_proj.weight", (layout.width, 3 * layout.width)
    yield "shortconv.out_proj.weight", (layout.width, layout.width)


def _mamba2(layout: _Layout) -> Iterator[Row]:
    inner, heads, groups = (
        layout.header.count("ssm.inner_size"),
        layout.header.count("ssm.time_step_rank"),
        layout.header.count("ssm.group_count"),
    )
    channels = inner + 2 * groups * layout.header.count("ssm.state_size")
    yield "ssm_in.weight", (layout.width, inner + channels + heads)
    yield "ssm_conv1d.weight", (layout.header.count("ssm.conv_kernel"), channels)
    yield "ssm_conv1d.bias", (channels,)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (1, heads)
    yield "ssm_d", (1, heads)
    yield "ssm_norm.weight", (inner // groups, groups)
    yield "ssm_out.weight", (inner, layout.width)


def _experts(layout: _Layout) -> Iterator[Row]:
    length = layout.header.count("expert_feed_forward_length")
    yield "ffn_gate_inp.weight", (layout.width, layout.experts)
    if layout.family.balance_bias and not layout.header.flag("no_balance_bias"):
        yield "exp_probs_b.bias", (layout.experts,)
    parts = ("gate", "up") if layout.family.gated else ("up",)
    for part in parts:
        yield f"ffn_{part}_exps.weight", (layout.width, length, layout.experts)
    yield "ffn_down_exps.weight", (length, layout.width, layout.experts)
    if layout.family.expert_bias:
        yield "ffn_gate_inp.bias", (layout.experts,)
        for part in parts:
            yield f"ffn_{part}_exps.bias", (length, layout.experts)
        yield "ffn_down_exps.bias", (layout.width, layout.experts)
    shared = layout.header.count(
        "expert_shared_feed_forward_length", length * layout.header.count("expert_shared_count", 0)
    )
    if shared:
        if layout.family.shared_gate:
            yield "ffn_gate_inp_shexp.weight", (layout.width,)
        yield from _feed_forward(layout, "_shexp", shared)


def _feed_forward(layout: _Layout, suffix: str, length: int) -> Iterator[Row]:
    if layout.family.fused:
        yield f"ffn_up{suffix}.weight", (layout.width, 2 * length)
    else:
        for part in ("gate", "up") if layout.family.gated else ("up",):
            yield f"ffn_{part}{suffix}.weight", (layout.width, length)
    yield f"ffn_down{suffix}.weight", (length, layout.width)


def _next_token(layout: _Layout) -> Iterator[Row]:
    """The multi-token-prediction part that GLM files carry in their last block."""
    vocabulary = layout.header.count("vocab_size")
    yield "nextn.eh_proj.weight", (2 * layout.width, layout.width)
    yield "nextn.enorm.weight", (layout.width,)
    yield "nextn.hnorm.weight", (layout.width,)
    if not layout.header.flag("nextn_shares_tables"):
        yield "nextn.embed_tokens.weight", (layout.width, vocabulary)
        yield "nextn.shared_head_head.weight", (layout.width, vocabulary)
    yield "nextn.shared_head_norm.weight", (layout.width,)
