"""Models with random weights that an engine loads in no time. A token is a character of ASCII, so that what
one wrote is read again as the same tokens."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType

# Space and newline are as GPT-2 has them.
CHARACTERS = [chr(code) for code in range(33, 127)] + [
    "\u0120",
    "\u010a",
]
SPECIAL = ["<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, HEADS, KV_HEADS, HEAD, FFN, BLOCKS = 64, 4, 2, 16, 128, 4
CONTEXT = 32768


def dense(path: Path) -> Path:
    return _write(path, "llama", {})


def sliding(path: Path) -> Path:
    """As Gemma 3: all blocks but every sixth see the last tokens alone."""
    keys = {"attention.sliding_window": 512, "attention.key_length": HEAD, "attention.value_length": HEAD}
    return _write(
        path, "gemma3", keys, blocks=6, norms=("post_attention_norm", "post_ffw_norm"), head_norms=True
    )


def hybrid(path: Path) -> Path:
    """As LFM2: blocks that keep a state of fixed size, and some that attend."""
    kv_heads = [KV_HEADS if block % 2 else 0 for block in range(BLOCKS)]
    return _write(
        path,
        "lfm2",
        {"shortconv.l_cache": 3, "vocab_size": _vocabulary()},
        kv_heads=kv_heads,
        head_norms=True,
    )


def _vocabulary() -> int:
    return len(CHARACTERS) + len(SPECIAL)


def _write(
    path: Path,
    architecture: str,
    keys: dict[str, Any],
    *,
    blocks: int = BLOCKS,
    kv_heads: list[int] | None = None,
    norms: tuple[str, ...] = (),
    head_norms: bool = False,
) -> Path:
    writer = GGUFWriter(path, architecture)
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS if kv_heads is None else kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    for key, value in keys.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    _add_vocabulary(writer)
    _add_tensors(
        writer,
        kv_heads or [KV_HEADS] * blocks,
        norms=norms,
        head_norms=head_norms,
        is_lfm=kv_heads is not None,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*SPECIAL, *CHARACTERS])
    writer.add_token_types([TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * len(CHARACTERS))
    writer.add_token_merges(["\u00ff \u00fe"])  # of no character that the vocabulary has
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _add_tensors(
    writer: GGUFWriter, kv_heads: list[int], *, norms: tuple[str, ...], head_norms: bool, is_lfm: bool
) -> None:
    random = np.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = 2 * random.standard_normal((rows, columns)) / np.sqrt(columns)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    def norm(name: str, width: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))

    matrix("token_embd", _vocabulary(), WIDTH)
    if not is_lfm:  # else a block that only attends repeats the last token
        matrix("output", _vocabulary(), WIDTH)
    norm("token_embd_norm" if is_lfm else "output_norm", WIDTH)
    for block, heads in enumerate(kv_heads):
        prefix = f"blk.{block}."
        for name in ("attn_norm", "ffn_norm", *norms):
            norm(prefix + name, WIDTH)
        matrix(f"{prefix}ffn_gate", FFN, WIDTH)
        matrix(f"{prefix}ffn_up", FFN, WIDTH)
        matrix(f"{prefix}ffn_down", WIDTH, FFN)
        if not heads:
            matrix(f"{prefix}shortconv.conv", WIDTH, 3)
            matrix(f"{prefix}shortconv.in_proj", 3 * WIDTH, WIDTH)
            matrix(f"{prefix}shortconv.out_proj", WIDTH, WIDTH)
            continue
        matrix(f"{prefix}attn_q", HEADS * HEAD, WIDTH)
        matrix(f"{prefix}attn_k", heads * HEAD, WIDTH)
        matrix(f"{prefix}attn_v", heads * HEAD, WIDTH)
        matrix(f"{prefix}attn_output", WIDTH, HEADS * HEAD)
        if head_norms:
            norm(f"{prefix}attn_q_norm", HEAD)
            norm(f"{prefix}attn_k_norm", HEAD)
