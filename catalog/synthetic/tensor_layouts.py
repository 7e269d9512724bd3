"""Tensor tables rebuilt from header facts: which tensors an architecture has, and their dimensions.

Source: the tensor lists that llama.cpp's loaders ask for, per architecture (``src/models``), checked
against the parameter counts and file sizes that engines print.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from domain.model import MetadataValue

Row = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one architecture apart from a plain llama.

    ``qk_norm`` is ``head`` (one norm for all heads) or ``all`` (over all heads together);
    ``ffn_norm`` the name of the norm before the feed-forward part; ``merges`` whether the vocabulary
    comes with a list of merges; ``query_gate`` whether the query carries a gate for the output;
    ``one_part`` whether a block is either a mixer or a feed-forward."""

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


FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "llama4": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(qk_norm="head"),
    "qwen3moe": Family(qk_norm="head"),
    "qwen3next": Family(qk_norm="head", shared_gate=True, query_gate=True, ffn_norm="post_attention_norm"),
    "gpt-oss": Family(
        qkv_bias=True, out_bias=True, sinks=True, expert_bias=True, ffn_norm="post_attention_norm"
    ),
    "gemma3": Family(qk_norm="head", sandwich_norms=True, merges=False),
    "deepseek2": Family(balance_bias=True),
    "glm4moe": Family(qkv_bias=True, balance_bias=True, ffn_norm="post_attention_norm"),
    "minimax-m2": Family(qk_norm="all", balance_bias=True),
    "phi3": Family(fused=True),
    "granitehybrid": Family(),
    "nemotron_h_moe": Family(gated=False, balance_bias=True, one_part=True),
}


class Facts:
    """Header facts under their GGUF keys without the architecture, and what follows from them.

    Raises: KeyError, naming the key, for a fact that the architecture cannot do without."""

    def __init__(self, architecture: str, facts: Mapping[str, MetadataValue]) -> None:
        self.family = FAMILIES[architecture]
        self._facts = facts
        self.blocks = self.one("block_count")
        self.width = self.one("embedding_length")
        self.heads = self.one("attention.head_count")
        self.key = self.one("attention.key_length", self.width // self.heads)
        self.value = self.one("attention.value_length", self.key)
        self.experts = self.one("expert_count", 0)

    def one(self, key: str, default: int | None = None) -> int:
        value = self._facts.get(key, default)
        if isinstance(value, int):
            return int(value)
        raise KeyError(key)

    def at(self, key: str, block: int, default: int | None = None) -> int:
        """The value of ``block``: a number for all, or one of a list with a value for each block."""
        value = self._facts.get(key, default)
        if isinstance(value, tuple):
            value = value[block]
        if isinstance(value, int):
            return int(value)
        raise KeyError(key)

    def flag(self, key: str) -> bool:
        return bool(self._facts.get(key, False))

    def is_recurrent(self, block: int) -> bool:
        if "ssm.conv_kernel" not in self._facts:
            return False
        interval = self.one("full_attention_interval", 0)
        if interval:
            return (block + 1) % interval != 0
        return self.at("attention.head_count_kv", block) == 0


def rows(architecture: str, facts: Mapping[str, MetadataValue]) -> Iterator[Row]:
    """Every tensor as (name, dimensions in ggml's order). Raises: KeyError for an unknown
    architecture or a missing fact."""
    it = Facts(architecture, facts)
    vocabulary = it.one("vocab_size")
    yield "token_embd.weight", (it.width, vocabulary)
    yield "output_norm.weight", (it.width,)
    if not it.flag("tied_embeddings"):
        yield "output.weight", (it.width, vocabulary)
    if it.flag("rope_freqs"):
        yield "rope_freqs.weight", (it.one("rope.dimension_count", it.key) // 2,)
    for block in range(it.blocks):
        for name, dims in _block(it, block):
            yield f"blk.{block}.{name}", dims


def _block(it: Facts, block: int) -> Iterator[Row]:
    yield "attn_norm.weight", (it.width,)
    if it.family.one_part:
        yield from _single_part(it, block)
        return
    if not it.is_recurrent(block):
        yield from _mla(it) if it.one("attention.kv_lora_rank", 0) else _attention(it, block)
    elif it.one("full_attention_interval", 0):
        yield from _delta_net(it)
    else:
        yield from _mamba2(it)
    if it.family.sandwich_norms:
        yield "post_attention_norm.weight", (it.width,)
        yield "post_ffw_norm.weight", (it.width,)
    yield f"{it.family.ffn_norm}.weight", (it.width,)
    if it.experts and block >= it.one("leading_dense_block_count", 0):
        yield from _experts(it)
    else:
        yield from _feed_forward(it, "", it.at("feed_forward_length", block))
    if block >= it.blocks - it.one("nextn_predict_layers", 0):
        yield from _next_token(it)


def _single_part(it: Facts, block: int) -> Iterator[Row]:
    if it.at("attention.head_count_kv", block):
        yield from _attention(it, block)
    elif it.at("feed_forward_length", block):
        yield from _experts(it)
    else:
        yield from _mamba2(it)


def _attention(it: Facts, block: int) -> Iterator[Row]:
    query = it.heads * it.key * (2 if it.family.query_gate else 1)
    kv_heads = it.at("attention.head_count_kv", block)
    key, value = kv_heads * it.key, kv_heads * it.value
    if it.family.fused:
        yield "attn_qkv.weight", (it.width, query + key + value)
    else:
        for name, length in (("attn_q", query), ("attn_k", key), ("attn_v", value)):
            yield f"{name}.weight", (it.width, length)
            if it.family.qkv_bias:
                yield f"{name}.bias", (length,)
    yield "attn_output.weight", (it.heads * it.value, it.width)
    if it.family.out_bias:
        yield "attn_output.bias", (it.width,)
    if it.family.sinks:
        yield "attn_sinks.weight", (it.heads,)
    if it.family.qk_norm or it.flag("qk_norm"):
        over_all = it.family.qk_norm == "all"
        yield "attn_q_norm.weight", (query if over_all else it.key,)
        yield "attn_k_norm.weight", (key if over_all else it.key,)


def _mla(it: Facts) -> Iterator[Row]:
    rank, rope = it.one("attention.kv_lora_rank"), it.one("rope.dimension_count")
    key, value = it.one("attention.key_length_mla"), it.one("attention.value_length_mla")
    query_rank = it.one("attention.q_lora_rank", 0)
    if query_rank:
        yield "attn_q_a.weight", (it.width, query_rank)
        yield "attn_q_a_norm.weight", (query_rank,)
        yield "attn_q_b.weight", (query_rank, it.heads * key)
    else:
        yield "attn_q.weight", (it.width, it.heads * key)
    yield "attn_kv_a_mqa.weight", (it.width, rank + rope)
    yield "attn_kv_a_norm.weight", (rank,)
    yield "attn_k_b.weight", (key - rope, rank, it.heads)
    yield "attn_v_b.weight", (rank, value, it.heads)
    yield "attn_output.weight", (it.heads * value, it.width)


def _delta_net(it: Facts) -> Iterator[Row]:
    state, heads = it.one("ssm.state_size"), it.one("ssm.time_step_rank")
    keys, values = state * it.one("ssm.group_count"), state * heads
    yield "attn_qkv.weight", (it.width, 2 * keys + values)
    yield "attn_gate.weight", (it.width, values)
    yield "ssm_conv1d.weight", (it.one("ssm.conv_kernel"), 2 * keys + values)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (heads,)
    yield "ssm_ba.weight", (it.width, 2 * heads)
    yield "ssm_norm.weight", (state,)
    yield "ssm_out.weight", (values, it.width)


def _mamba2(it: Facts) -> Iterator[Row]:
    inner, heads, groups = it.one("ssm.inner_size"), it.one("ssm.time_step_rank"), it.one("ssm.group_count")
    channels = inner + 2 * groups * it.one("ssm.state_size")
    yield "ssm_in.weight", (it.width, inner + channels + heads)
    yield "ssm_conv1d.weight", (it.one("ssm.conv_kernel"), channels)
    yield "ssm_conv1d.bias", (channels,)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (1, heads)
    yield "ssm_d", (1, heads)
    yield "ssm_norm.weight", (inner // groups, groups)
    yield "ssm_out.weight", (inner, it.width)


def _experts(it: Facts) -> Iterator[Row]:
    length = it.one("expert_feed_forward_length")
    yield "ffn_gate_inp.weight", (it.width, it.experts)
    if it.family.balance_bias and not it.flag("no_balance_bias"):
        yield "exp_probs_b.bias", (it.experts,)
    parts = ("gate", "up") if it.family.gated else ("up",)
    for part in parts:
        yield f"ffn_{part}_exps.weight", (it.width, length, it.experts)
    yield "ffn_down_exps.weight", (length, it.width, it.experts)
    if it.family.expert_bias:
        yield "ffn_gate_inp.bias", (it.experts,)
        for part in parts:
            yield f"ffn_{part}_exps.bias", (length, it.experts)
        yield "ffn_down_exps.bias", (it.width, it.experts)
    shared = it.one("expert_shared_feed_forward_length", length * it.one("expert_shared_count", 0))
    if shared:
        if it.family.shared_gate:
            yield "ffn_gate_inp_shexp.weight", (it.width,)
        yield from _feed_forward(it, "_shexp", shared)


def _feed_forward(it: Facts, suffix: str, length: int) -> Iterator[Row]:
    if it.family.fused:
        yield f"ffn_up{suffix}.weight", (it.width, 2 * length)
    else:
        for part in ("gate", "up") if it.family.gated else ("up",):
            yield f"ffn_{part}{suffix}.weight", (it.width, length)
    yield f"ffn_down{suffix}.weight", (length, it.width)


def _next_token(it: Facts) -> Iterator[Row]:
    """The multi-token-prediction part that GLM files carry in their last block."""
    vocabulary = it.one("vocab_size")
    yield "nextn.eh_proj.weight", (2 * it.width, it.width)
    yield "nextn.enorm.weight", (it.width,)
    yield "nextn.hnorm.weight", (it.width,)
    if not it.flag("nextn_shares_tables"):
        yield "nextn.embed_tokens.weight", (it.width, vocabulary)
        yield "nextn.shared_head_head.weight", (it.width, vocabulary)
    yield "nextn.shared_head_norm.weight", (it.width,)
