"""Shapes of published encoders: what their headers say, with the tensors that llama.cpp loads.

Sources: config.json of BAAI/bge-small-en-v1.5, BAAI/bge-reranker-v2-m3, nomic-ai/nomic-embed-text-v1.5 and
-v2-moe, jinaai/jina-embeddings-v2-base-en and -v3, Alibaba-NLP/gte-modernbert-base,
EuroBERT/EuroBERT-210m, google/embeddinggemma-300m, chandar-lab/NeoBERT; ``load_arch_tensors`` in llama.cpp
``src/models``.
"""

from dataclasses import dataclass
from math import prod

from domain.models.model import MetadataValue, ModelShape, Tensor

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Encoder:
    """``head_dim``: where it is not width / heads."""

    architecture: str
    width: int
    blocks: int
    heads: int
    ffn: int
    vocab: int
    context: int
    pooling: int
    kv_heads: int = 0
    head_dim: int = 0
    window: int = 0
    experts: int = 0
    ranks: bool = False


MEAN, CLS, RANK = 1, 2, 4
ENCODERS = {
    "bge-small": Encoder("bert", 384, 12, 12, 1536, 30522, 512, CLS),
    "bge-reranker-m3": Encoder("bert", 1024, 24, 16, 4096, 250002, 8192, RANK, ranks=True),
    "nomic-1.5": Encoder("nomic-bert", 768, 12, 12, 3072, 30522, 2048, MEAN),
    "nomic-2-moe": Encoder("nomic-bert-moe", 768, 12, 12, 3072, 250048, 512, MEAN, experts=8),
    "jina-2": Encoder("jina-bert-v2", 768, 12, 12, 3072, 61056, 8192, MEAN),
    "jina-3": Encoder("jina-bert-v3", 1024, 24, 16, 4096, 250002, 8192, MEAN),
    "gte-modernbert": Encoder("modern-bert", 768, 22, 12, 1152, 50368, 8192, CLS, window=128),
    "eurobert-210m": Encoder("eurobert", 768, 12, 12, 3072, 128256, 8192, MEAN),
    "embeddinggemma": Encoder(
        "gemma-embedding", 768, 24, 3, 1152, 262144, 2048, MEAN, kv_heads=1, head_dim=256, window=512
    ),
    "neobert": Encoder("neo-bert", 768, 28, 12, 2048, 30522, 4096, CLS),
}
_BIASED = ("bert", "jina-bert-v2", "jina-bert-v3")
_FUSED = ("nomic-bert", "nomic-bert-moe", "jina-bert-v3", "modern-bert", "neo-bert")
_NORMS_FIRST = ("modern-bert", "neo-bert", "eurobert", "gemma-embedding")


def encoder(name: str) -> ModelShape:
    spec = ENCODERS[name]
    tensors = tuple(_tensor(name, shape) for name, shape in _table(spec).items())
    return ModelShape(
        spec.architecture,
        tensors,
        sum(-(-tensor.size_bytes // 32) * 32 for tensor in tensors),
        _metadata(spec),
        {"tokenizer.ggml.tokens": spec.vocab},
    )


def _tensor(name: str, shape: Dims) -> Tensor:
    is_matrix = len(shape) > 1 and "token_types" not in name and "gate_inp" not in name
    return Tensor(name, "F16" if is_matrix else "F32", shape, prod(shape) * (2 if is_matrix else 4))


def _metadata(spec: Encoder) -> dict[str, MetadataValue]:
    kind = "layer_norm_rms_epsilon" if spec.architecture in _NORMS_FIRST[1:] else "layer_norm_epsilon"
    keys: dict[str, MetadataValue] = {
        "block_count": spec.blocks,
        "context_length": spec.context,
        "embedding_length": spec.width,
        "feed_forward_length": spec.ffn,
        "attention.head_count": spec.heads,
        "attention.head_count_kv": spec.kv_heads or spec.heads,
        f"attention.{kind}": 1e-6,
        "attention.causal": False,
        "pooling_type": spec.pooling,
        "vocab_size": spec.vocab,
        "rope.freq_base": 10000.0,
    }
    if spec.head_dim:
        keys |= {"attention.key_length": spec.head_dim, "attention.value_length": spec.head_dim}
    if spec.window:
        keys["attention.sliding_window"] = spec.window
    if spec.experts:
        keys |= {"expert_count": spec.experts, "expert_used_count": 2, "moe_every_n_layers": 2}
    return {
        "general.architecture": spec.architecture,
        "tokenizer.ggml.model": "none",
        **({} if spec.architecture in _NORMS_FIRST else {"tokenizer.ggml.token_type_count": 2}),
        **{f"{spec.architecture}.{key}": value for key, value in keys.items()},
    }


def _table(spec: Encoder) -> dict[str, Dims]:
    width = spec.width
    table: dict[str, Dims] = {"token_embd.weight": (width, spec.vocab)}
    if spec.architecture not in _NORMS_FIRST:
        table |= {"token_types.weight": (width, 2), **_norm("token_embd_norm", width, biased=True)}
    if spec.architecture == "modern-bert":
        table |= _norm("token_embd_norm", width)
    if spec.architecture == "bert":
        table["position_embd.weight"] = (width, spec.context)
    for block in range(spec.blocks):
        table |= {f"blk.{block}.{name}": shape for name, shape in _block(spec, block).items()}
    if spec.architecture in _NORMS_FIRST:
        table |= _norm("enc.output_norm" if spec.architecture == "neo-bert" else "output_norm", width)
    if spec.ranks:
        table |= {"cls.weight": (width, width), "cls.bias": (width,)}
        table |= {"cls.output.weight": (width, 1), "cls.output.bias": (1,)}
    return table


def _block(spec: Encoder, block: int) -> dict[str, Dims]:
    width, is_biased = spec.width, spec.architecture in _BIASED
    head_dim = spec.head_dim or width // spec.heads
    q, kv = head_dim * spec.heads, head_dim * (spec.kv_heads or spec.heads)
    table: dict[str, Dims] = {}
    parts = {"attn_qkv": (width, q + 2 * kv)}
    if spec.architecture not in _FUSED:
        parts = {"attn_q": (width, q), "attn_k": (width, kv), "attn_v": (width, kv)}
    for name, shape in {**parts, "attn_output": (q, width)}.items():
        table |= _matrix(name, shape, biased=is_biased or spec.architecture == "nomic-bert-moe")
    table |= _feed_forward(spec, block)
    if spec.architecture == "gemma-embedding":
        names = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        table |= {f"{name}.weight": (width,) for name in names}
        return table | {"attn_q_norm.weight": (head_dim,), "attn_k_norm.weight": (head_dim,)}
    if spec.architecture in _NORMS_FIRST:
        has_norm = block or spec.architecture != "modern-bert"
        return table | (_norm("attn_norm", width) if has_norm else {}) | _norm("ffn_norm", width)
    return (
        table | _norm("attn_output_norm", width, biased=True) | _norm("layer_output_norm", width, biased=True)
    )


def _feed_forward(spec: Encoder, block: int) -> dict[str, Dims]:
    width, ffn, architecture = spec.width, spec.ffn, spec.architecture
    if spec.experts and block % 2 == 1:
        return {
            "ffn_gate_inp.weight": (width, spec.experts),
            "ffn_up_exps.weight": (width, ffn, spec.experts),
            "ffn_down_exps.weight": (ffn, width, spec.experts),
        }
    up = 2 * ffn if architecture in ("modern-bert", "neo-bert") else ffn
    is_biased = architecture in ("bert", "jina-bert-v3", "nomic-bert-moe")
    table = _matrix("ffn_up", (width, up), biased=is_biased)
    table |= _matrix("ffn_down", (ffn, width), biased=is_biased or architecture == "jina-bert-v2")
    if architecture in ("nomic-bert", "jina-bert-v2", "eurobert", "gemma-embedding"):
        table["ffn_gate.weight"] = (width, ffn)
    return table


def _matrix(name: str, shape: Dims, *, biased: bool) -> dict[str, Dims]:
    return {f"{name}.weight": shape, **({f"{name}.bias": (shape[1],)} if biased else {})}


def _norm(name: str, width: int, *, biased: bool = False) -> dict[str, Dims]:
    return {f"{name}.weight": (width,), **({f"{name}.bias": (width,)} if biased else {})}
