"""A hybrid of the Qwen3.5 kind with a head of multi-token prediction: in its file, or beside it."""

from tests.rigs.headers import Row, vocabulary

TINY = {"layers": 8, "width": 1024, "heads": 8, "kv": 2, "wide": 2048, "words": 4096, "groups": 4, "rank": 8}
LARGE = {
    "layers": 64,
    "width": 5120,
    "heads": 24,
    "kv": 4,
    "wide": 17408,
    "words": 248320,
    "groups": 16,
    "rank": 48,
}
HEAD, STATE, KERNEL = 256, 128, 4


def hybrid(
    *, mtp: int, context: int, sizes: dict[str, int], kind: str = "Q4_K"
) -> tuple[list[Row], dict[str, object]]:
    width, words, layers = sizes["width"], sizes["words"], sizes["layers"]
    rows: list[Row] = [
        ("token_embd.weight", (width, words), kind),
        ("output_norm.weight", (width,), "F32"),
        ("output.weight", (width, words), "Q6_K"),
    ]
    for block in range(layers + mtp):
        is_attention = (block + 1) % 4 == 0 or block >= layers
        part = _attention(sizes, kind) if is_attention else _recurrent(sizes, kind)
        ahead = _next_token(width, kind) if block >= layers else []
        rows += [
            (f"blk.{block}.{name}", shape, which)
            for name, shape, which in (*_common(sizes, kind), *part, *ahead)
        ]
    keys: dict[str, object] = {
        "block_count": layers + mtp,
        "context_length": context,
        "embedding_length": width,
        "feed_forward_length": sizes["wide"],
        "attention.head_count": sizes["heads"],
        "attention.head_count_kv": sizes["kv"],
        "attention.key_length": HEAD,
        "attention.value_length": HEAD,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1e7,
        "rope.dimension_count": 64,
        "rope.dimension_sections": [11, 11, 10, 0],
        "ssm.conv_kernel": KERNEL,
        "ssm.state_size": STATE,
        "ssm.group_count": sizes["groups"],
        "ssm.time_step_rank": sizes["rank"],
        "ssm.inner_size": STATE * sizes["rank"],
        "full_attention_interval": 4,
        "vocab_size": words,
        **({"nextn_predict_layers": mtp} if mtp else {}),
        **vocabulary(words if words < 10000 else 0),
    }
    return rows, keys


def head_alone(*, context: int, sizes: dict[str, int]) -> tuple[list[Row], dict[str, object]]:
    rows, keys = hybrid(mtp=1, context=context, sizes=sizes)
    last = f"blk.{sizes['layers']}."
    return [row for row in rows if not row[0].startswith("blk.") or row[0].startswith(last)], keys


def _common(sizes: dict[str, int], kind: str) -> list[Row]:
    width, wide = sizes["width"], sizes["wide"]
    return [
        ("attn_norm.weight", (width,), "F32"),
        ("post_attention_norm.weight", (width,), "F32"),
        ("ffn_gate.weight", (width, wide), kind),
        ("ffn_up.weight", (width, wide), kind),
        ("ffn_down.weight", (wide, width), kind),
    ]


def _attention(sizes: dict[str, int], kind: str) -> list[Row]:
    width, heads, kv = sizes["width"], sizes["heads"], sizes["kv"]
    return [
        ("attn_q.weight", (width, 2 * heads * HEAD), kind),
        ("attn_k.weight", (width, kv * HEAD), kind),
        ("attn_v.weight", (width, kv * HEAD), kind),
        ("attn_output.weight", (heads * HEAD, width), kind),
        ("attn_q_norm.weight", (HEAD,), "F32"),
        ("attn_k_norm.weight", (HEAD,), "F32"),
    ]


def _recurrent(sizes: dict[str, int], kind: str) -> list[Row]:
    width, rank = sizes["width"], sizes["rank"]
    inner = STATE * rank
    channels = 2 * sizes["groups"] * STATE + inner
    return [
        ("attn_qkv.weight", (width, channels), kind),
        ("attn_gate.weight", (width, inner), kind),
        ("ssm_conv1d.weight", (KERNEL, channels), "F32"),
        ("ssm_dt.bias", (rank,), "F32"),
        ("ssm_a", (rank,), "F32"),
        ("ssm_beta.weight", (width, rank), kind),
        ("ssm_alpha.weight", (width, rank), kind),
        ("ssm_norm.weight", (STATE,), "F32"),
        ("ssm_out.weight", (inner, width), kind),
    ]


def _next_token(width: int, kind: str) -> list[Row]:
    return [
        ("nextn.eh_proj.weight", (2 * width, width), kind),
        ("nextn.enorm.weight", (width,), "F32"),
        ("nextn.hnorm.weight", (width,), "F32"),
        ("nextn.shared_head_norm.weight", (width,), "F32"),
    ]
