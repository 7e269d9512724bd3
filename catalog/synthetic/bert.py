"""The tensors of BERT encoders (XLM-RoBERTa, BGE): with biases, and tables of positions and types.

Source: the tensor list of llama.cpp's loader (src/models/bert.cpp, b11434); checked against the published
bytes of bge-m3 and bge-reranker-v2-m3.
"""

from collections.abc import Iterator

from domain.models.header import HeaderReader

Row = tuple[str, tuple[int, ...]]


def rows(header: HeaderReader, width: int, blocks: int) -> Iterator[Row]:
    """All but the embedding of tokens."""
    yield "position_embd.weight", (width, header.count("context_length"))
    yield "token_types.weight", (width, header.count("token_types"))
    yield from _with_bias("token_embd_norm", (width,))
    if header.flag("classifier"):
        yield from _with_bias("cls", (width, width))
        yield from _with_bias("cls.output", (width, 1))
    for number in range(blocks):
        for name, shape in _block(header, width):
            yield f"blk.{number}.{name}", shape


def _block(header: HeaderReader, width: int) -> Iterator[Row]:
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        yield from _with_bias(name, (width, width))
    yield from _with_bias("attn_output_norm", (width,))
    wide = header.count("feed_forward_length")
    yield from _with_bias("ffn_up", (width, wide))
    yield from _with_bias("ffn_down", (wide, width))
    yield from _with_bias("layer_output_norm", (width,))


def _with_bias(name: str, shape: tuple[int, ...]) -> Iterator[Row]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[-1:]
