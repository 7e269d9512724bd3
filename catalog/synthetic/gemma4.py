"""The tensors of Gemma 4, which has two kinds of attention with heads of their own.

Source: llama.cpp ``src/models/gemma4.cpp`` (b11434).
"""

from collections.abc import Iterator

from domain.models.header import HeaderReader

Row = tuple[str, tuple[int, ...]]


def tables(header: HeaderReader, width: int, blocks: int) -> Iterator[Row]:
    """What the small models have besides: an embedding for each layer."""
    per_layer = header.count("embedding_length_per_layer_input", 0)
    if per_layer:
        yield "per_layer_token_embd.weight", (per_layer * blocks, header.count("vocab_size"))
        yield "per_layer_model_proj.weight", (width, per_layer * blocks)
        yield "per_layer_proj_norm.weight", (per_layer,)


def block(header: HeaderReader, width: int, block: int) -> Iterator[Row]:
    yield "attn_norm.weight", (width,)
    yield from _attention(header, width, block)
    yield "post_attention_norm.weight", (width,)
    yield "layer_output_scale.weight", (1,)
    yield "ffn_norm.weight", (width,)
    length = header.at_layer("feed_forward_length", block)
    yield "ffn_gate.weight", (width, length)
    yield "ffn_up.weight", (width, length)
    yield "ffn_down.weight", (length, width)
    yield "post_ffw_norm.weight", (width,)
    if experts := header.count("expert_count", 0):
        yield from _experts(header, width, experts)
    if per_layer := header.count("embedding_length_per_layer_input", 0):
        yield "inp_gate.weight", (width, per_layer)
        yield "proj.weight", (per_layer, width)
        yield "post_norm.weight", (width,)


def _attention(header: HeaderReader, width: int, block: int) -> Iterator[Row]:
    """Layers with a sliding window have shorter heads. The others use their keys as values, except in models
    with an embedding for each layer. The last layers may share keys and values of earlier ones."""
    pattern = header.shape.get("attention.sliding_window_pattern")
    is_sliding = isinstance(pattern, tuple) and bool(pattern[block])
    head = header.count("attention.key_length_swa" if is_sliding else "attention.key_length")
    heads, kv_heads = header.count("attention.head_count"), header.at_layer("attention.head_count_kv", block)
    yield "attn_q.weight", (width, heads * head)
    yield "attn_q_norm.weight", (head,)
    yield "attn_output.weight", (heads * head, width)
    if block >= header.count("block_count") - header.count("attention.shared_kv_layers", 0):
        return
    yield "attn_k.weight", (width, kv_heads * head)
    yield "attn_k_norm.weight", (head,)
    if is_sliding or header.count("embedding_length_per_layer_input", 0):
        yield "attn_v.weight", (width, kv_heads * head)


def _experts(header: HeaderReader, width: int, experts: int) -> Iterator[Row]:
    length = header.count("expert_feed_forward_length")
    yield "ffn_gate_inp.weight", (width, experts)
    yield "ffn_gate_inp.scale", (width,)
    yield "pre_ffw_norm_2.weight", (width,)
    yield "post_ffw_norm_1.weight", (width,)
    yield "post_ffw_norm_2.weight", (width,)
    yield "ffn_gate_up_exps.weight", (width, 2 * length, experts)
    yield "ffn_down_exps.weight", (length, width, experts)
