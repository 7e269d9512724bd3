"""Graphs of the supported projector types: image to tokens.

Source: llama.cpp ``tools/mtmd/models``, one file per type.
"""

from collections.abc import Callable

from domain.models.model import ModelShape
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import UnsupportedGraphError
from planner.llama_cpp.graph.encoder import Encoder
from planner.llama_cpp.graph.tensor import F32, I32, Graph, Tensor, dims
from planner.llama_cpp.graph.vit import TransformerStack, blocks

Build = Callable[[Encoder], Tensor]


def build(shape: ModelShape, projector_type: str, side: int, merge: int, *, flash_attention: bool) -> Graph:
    """The graph of one square image of ``side`` pixels, ``merge`` x ``merge`` patches per token.

    Raises: UnsupportedGraphError for an unknown type, or for a file that lacks a tensor.
    """
    if projector_type not in GRAPHS:
        raise UnsupportedGraphError(projector_type)
    encoder = Encoder(shape, side, merge, flash_attention=flash_attention)
    encoder.graph.expand(GRAPHS[projector_type](encoder))
    return encoder.graph


def _siglip(encoder: Encoder, positions: Tensor) -> Tensor:
    cur = op.like("add", encoder.embed_patches(encoder.image()), positions)
    return blocks(encoder, cur, TransformerStack())


def gemma3(encoder: Encoder) -> Tensor:
    cur = _pool(encoder, _siglip(encoder, encoder.position_embedding()))
    cur = op.like("mul", op.like("rms_norm", cur), encoder.weight("mm.soft_emb_norm.weight"))
    return op.mul_mat(op.cont(op.transpose(encoder.weight("mm.input_projection.weight"))), cur)


def _pool(encoder: Encoder, source: Tensor) -> Tensor:
    across, merge = encoder.patches_per_side, encoder.merge
    cur = op.cont(op.transpose(source), across, across, encoder.width)
    merged_side = (across - merge) // merge + 1
    cur = op.new("pool_2d", dims(merged_side, merged_side, encoder.width), (cur,))
    return op.cont(op.transpose(op.reshape(cur, merged_side * merged_side, encoder.width)))


def idefics3(encoder: Encoder) -> Tensor:
    return encoder.linear(
        encoder.merge_patches(_siglip(encoder, encoder.position_embedding())), "mm.model.fc"
    )


def lfm2(encoder: Encoder) -> Tensor:
    cur = encoder.merge_patches(_siglip(encoder, encoder.resized_position_embedding()))
    if encoder.has("mm.input_norm.weight"):
        cur = encoder.norm(cur, "mm.input_norm", is_layer_norm=True)
    return encoder.feed_forward(cur, "mm.1", "mm.2")


def gemma4(encoder: Encoder) -> Tensor:
    image = op.like("scale", encoder.image())
    cur = encoder.embed_patches(image)
    across, down = _position_ids(encoder), _position_ids(encoder)
    table = encoder.position_embedding()
    axis_table = op.view(table, dims(table.ne[0], table.ne[1]))
    for position_ids in (across, down):
        cur = op.like("add", cur, op.get_rows(axis_table, position_ids))
    stack = TransformerStack(_rope_2d(across, down), norms_values=True, clamps=True)
    cur = op.like("scale", _pool(encoder, blocks(encoder, cur, stack)))
    if encoder.has("v.std_bias") and encoder.has("v.std_scale"):
        cur = op.like("sub", cur, encoder.weight("v.std_bias"))
        cur = op.like("mul", cur, encoder.weight("v.std_scale"))
    return encoder.linear(op.like("rms_norm", cur), "mm.input_projection", clamps=True)


def qwen2(encoder: Encoder) -> Tensor:
    cur = encoder.embed_frame_pair(encoder.image())
    positions, tokens = _position_ids(encoder, 4), encoder.patches
    stack = TransformerStack(lambda source: op.like("rope", source, positions))
    cur = blocks(encoder, cur, stack)
    cur = op.reshape(cur, 4 * encoder.width, tokens // 4)
    return encoder.feed_forward(cur, "mm.0", "mm.2")


def qwen25(encoder: Encoder) -> Tensor:
    """Most blocks attend within windows: tokens are sorted by window, and back at the end."""
    cur = encoder.embed_frame_pair(encoder.image())
    positions, tokens = _position_ids(encoder, 4), encoder.patches
    order, back = (encoder.graph_input(tokens // 4, element_bytes=I32) for _ in range(2))
    mask = encoder.graph_input(tokens, tokens)
    if encoder.flash_attention:
        mask = encoder.to_f16(mask)
    cur = op.get_rows(op.reshape(cur, 4 * encoder.width, tokens // 4), order)
    stack = TransformerStack(
        lambda source: op.like("rope", source, positions), mask=mask, full_attention_every=encoder.pattern
    )
    cur = blocks(encoder, op.reshape(cur, encoder.width, tokens), stack)
    cur = encoder.feed_forward(op.reshape(cur, 4 * encoder.width, tokens // 4), "mm.0", "mm.2")
    return op.get_rows(cur, back)


def qwen3(encoder: Encoder) -> Tensor:
    cur = op.like(
        "add",
        encoder.embed_frame_pair(encoder.image()),
        encoder.group_squares(encoder.resized_position_embedding()),
    )
    positions = _position_ids(encoder, 4)
    stack = TransformerStack(lambda source: op.like("rope", source, positions))
    cur = op.reshape(blocks(encoder, cur, stack), 4 * encoder.width, encoder.patches // 4)
    cur = encoder.feed_forward(cur, "mm.0", "mm.2")
    return cur if stack.deepstack is None else op.concat(cur, stack.deepstack, 0)


def glm4(encoder: Encoder) -> Tensor:
    cur = encoder.embed_frame_pair(encoder.image())
    if encoder.has("v.norm_embd.weight"):
        cur = encoder.norm(cur, "v.norm_embd", is_layer_norm=False)
    if encoder.has("v.position_embd.weight"):
        cur = op.like("add", cur, encoder.group_squares(encoder.resized_position_embedding()))
    positions = _position_ids(encoder, 4)
    cur = blocks(encoder, cur, TransformerStack(lambda source: op.like("rope", source, positions)))
    merge = encoder.merge
    count = encoder.patches // merge // merge
    cur = op.cont(op.permute(op.reshape(cur, encoder.width, merge, merge, count), 2, 0, 1, 3))
    cur = encoder.convolve(cur, "mm.patch_merger.weight", merge)
    cur = encoder.add_bias(op.reshape(cur, cur.ne[2], count), "mm.patch_merger.bias")
    cur = op.like(
        "unary", encoder.norm(encoder.linear(cur, "mm.model.fc"), "mm.post_norm", is_layer_norm=True)
    )
    return encoder.feed_forward(cur, "mm.up", "mm.down", "mm.gate")


def pixtral(encoder: Encoder) -> Tensor:
    merge, merged_side = encoder.merge, encoder.patches_per_side // encoder.merge
    across, down = _position_ids(encoder), _position_ids(encoder)
    cur = blocks(encoder, encoder.embed_patches(encoder.image()), TransformerStack(_rope_2d(across, down)))
    if encoder.has("mm.patch_merger.weight"):
        cur = op.like("mul", op.like("rms_norm", cur), encoder.weight("mm.input_norm.weight"))
        cur = op.cont(
            op.permute(
                op.reshape(cur, encoder.width, encoder.patches_per_side, encoder.patches_per_side), 2, 0, 1, 3
            )
        )
        kernel = op.view(cur, dims(merge, merge, cur.ne[2]), (F32, 0, 0, 0))
        cur = op.new("im2col", dims(merge * merge * encoder.width, merged_side, merged_side), (kernel, cur))
        cur = op.mul_mat(
            encoder.weight("mm.patch_merger.weight"), op.reshape(cur, cur.ne[0], merged_side * merged_side)
        )
    return _with_row_breaks(encoder, encoder.feed_forward(cur, "mm.1", "mm.2"), merged_side)


def _with_row_breaks(encoder: Encoder, source: Tensor, rows: int) -> Tensor:
    """A token at the end of each row of the image."""
    if not encoder.has("v.token_embd.img_break"):
        return source
    width = source.ne[0]
    grid = op.reshape(source, width, rows, rows)
    row_breaks = op.like("scale", op.new("none", dims(width, 1, rows)))
    row_breaks = op.like("add", row_breaks, encoder.weight("v.token_embd.img_break"))
    return op.view(op.concat(grid, row_breaks, 1), dims(width, rows * rows + rows - 1))


def kimi(encoder: Encoder) -> Tensor:
    positions = encoder.resized_position_embedding()
    across, down = _position_ids(encoder), _position_ids(encoder)
    cur = op.like("add", encoder.embed_patches(encoder.image()), positions)
    cur = encoder.merge_patches(blocks(encoder, cur, TransformerStack(_rope_2d(across, down))))
    merged_width, count = cur.ne[0], cur.ne[1]
    per_patch = op.view(cur, dims(encoder.width, count * merged_width // encoder.width))
    cur = encoder.norm(per_patch, "mm.input_norm", is_layer_norm=True)
    return encoder.feed_forward(op.view(cur, dims(merged_width, count)), "mm.1", "mm.2")


def internvl(encoder: Encoder) -> Tensor:
    cur = encoder.embed_patches(encoder.image())
    class_token = op.new("repeat", dims(encoder.width, 1), (encoder.weight("v.class_embd"),))
    cur = op.like("add", op.concat(cur, class_token, 1), encoder.position_embedding())
    cur = blocks(encoder, cur, TransformerStack())
    cur = op.cont(op.view(cur, dims(encoder.width, encoder.patches), cur.nb))
    cur = encoder.norm(encoder.merge_patches(cur), "mm.model.mlp.0", is_layer_norm=True)
    return encoder.feed_forward(cur, "mm.model.mlp.1", "mm.model.mlp.3")


def llama4(encoder: Encoder) -> Tensor:
    down, across = _position_ids(encoder, extra=1), _position_ids(encoder, extra=1)
    kernel = encoder.weight("v.patch_embd.weight")
    shaped = op.reshape(kernel, encoder.patch, encoder.patch, 3, encoder.width)
    cur = op.new(
        "im2col",
        dims(kernel.ne[0], encoder.patches_per_side, encoder.patches_per_side),
        (shaped, encoder.image()),
    )
    cur = op.reshape(op.mul_mat(kernel, cur), encoder.width, encoder.patches)
    cur = op.like("add", op.concat(cur, encoder.weight("v.class_embd"), 1), encoder.position_embedding())
    cur = blocks(encoder, cur, TransformerStack(_rope_2d(across, down)))
    cur = op.view(cur, dims(encoder.width, encoder.patches))
    merge, merged_side = encoder.merge, encoder.patches_per_side // encoder.merge
    cur = op.permute(
        op.reshape(cur, encoder.width * merge, merged_side, encoder.patches_per_side), 0, 2, 1, 3
    )
    merged_width = encoder.width * merge * merge
    cur = op.cont(
        op.cont(cur, merged_width, merged_side, merged_side), merged_width, merged_side * merged_side
    )
    for name in ("mm.model.mlp.1", "mm.model.mlp.2"):
        cur = op.like("unary", encoder.linear(cur, name))
    return encoder.linear(cur, "mm.model.fc")


def _position_ids(encoder: Encoder, per_patch: int = 1, *, extra: int = 0) -> Tensor:
    return encoder.graph_input((encoder.patches + extra) * per_patch, element_bytes=I32)


def _rope_2d(across: Tensor, down: Tensor) -> Callable[[Tensor], Tensor]:
    """Half of each head is rotated by the column, half by the row."""
    return lambda source: op.like("rope", op.like("rope", source, across), down)


# By ``clip.projector_type``.
GRAPHS: dict[str, Build] = {
    "gemma3": gemma3,
    "gemma4v": gemma4,
    "glm4v": glm4,
    "idefics3": idefics3,
    "internvl": internvl,
    "kimivl": kimi,
    "lfm2": lfm2,
    "lightonocr": pixtral,
    "llama4": llama4,
    "pixtral": pixtral,
    "qwen2.5vl_merger": qwen25,
    "qwen2vl_merger": qwen2,
    "qwen3vl_merger": qwen3,
}
