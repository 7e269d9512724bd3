"""Embedding and reranking models of a few kilobytes whose answers are right: weights made by hand.

A BERT of one layer over a bag of words: each word has a dimension of its own, and attention gives each token
the mean of all. The embedding of a text is the mean of its words, so texts that share words are near. The
reranker counts the words that stand out of the mean of query and passage, which repeated ones do: a passage
with the words of the query scores higher. They show that an engine computes, not how well a model is trained.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

WORDS = (
    *("what", "is", "the", "capital", "of", "france", "paris", "bananas", "and", "oranges", "grow", "on"),
    *("trees", "in", "warm", "places", "at", "i", "counted", "count"),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENS = (*SPECIAL, *(f"\u2581{word}" for word in WORDS), "\u2581?", "\u2581.", "\u2581:", *"0123456789")
WIDTH = 64
CONTEXT = 512
SHARPNESS, THRESHOLD = 8.0, 2.4  # of the reranker: only what stands out by so much counts


def write_embedding_model(
    path: Path, *, pooling: PoolingType = PoolingType.MEAN, broken: bool = False
) -> Path:
    """``broken``: all weights are zero, as in a file with holes."""
    return _write(path, {} if broken else {"token_embd.weight": _one_word_each()}, pooling, ones=not broken)


def write_reranker(path: Path) -> Path:
    identity = np.eye(WIDTH, dtype=np.float32)
    return _write(
        path,
        {
            "token_embd.weight": _one_word_each(),
            "blk.0.attn_v.weight": identity,
            "blk.0.attn_output.weight": 8 * identity,
            "cls.weight": SHARPNESS * identity,
            "cls.bias": np.full(WIDTH, -SHARPNESS * THRESHOLD, np.float32),
            "cls.output.weight": np.ones((1, WIDTH), np.float32),
            "cls.output.bias": np.zeros(1, np.float32),
        },
        PoolingType.RANK,
    )


def _one_word_each() -> np.ndarray:
    """Special tokens have no dimension: they are in every text."""
    table = np.zeros((len(TOKENS), WIDTH), np.float32)
    for number in range(len(SPECIAL), len(TOKENS)):
        table[number, number - len(SPECIAL)] = 1.0
    return table


def _write(path: Path, weights: dict[str, np.ndarray], pooling: PoolingType, *, ones: bool = True) -> Path:
    writer = GGUFWriter(path, "bert")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(0)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(1)
    writer.add_token_list(list(TOKENS))
    writer.add_token_types(
        [TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * (len(TOKENS) - len(SPECIAL))
    )
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    for name, shape in _table().items():
        is_norm = "norm" in name and name.endswith("weight")
        default = np.full(shape, 1.0 if is_norm and ones else 0.0, np.float32)
        writer.add_tensor(name, weights.get(name, default).astype(np.float32))
    for name, value in weights.items():
        if name.startswith("cls"):
            writer.add_tensor(name, value.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _table() -> dict[str, tuple[int, ...]]:
    table: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), WIDTH),
        "position_embd.weight": (CONTEXT, WIDTH),
        "token_types.weight": (1, WIDTH),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
    }
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        table |= {f"blk.0.{part}.weight": (WIDTH, WIDTH), f"blk.0.{part}.bias": (WIDTH,)}
    for part in ("attn_output_norm", "layer_output_norm"):
        table |= {f"blk.0.{part}.weight": (WIDTH,), f"blk.0.{part}.bias": (WIDTH,)}
    return table
