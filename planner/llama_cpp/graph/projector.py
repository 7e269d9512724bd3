"""Whole graphs of the kinds of projectors that are laid out: what enters the blocks, and what leaves them.

Source: llama.cpp ``tools/mtmd/models``, one file a kind.
"""

from collections.abc import Callable

from domain.model import ModelShape
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import NotLaidOutError
from planner.llama_cpp.graph.encoder import Encoder
from planner.llama_cpp.graph.tensor import F32, I32, Graph, Tensor, dims
from planner.llama_cpp.graph.vit import Stack, blocks

Build = Callable[[Encoder], Tensor]


def build(shape: ModelShape, kind: str, side: int, merge: int, *, flash_attention: bool) -> Graph:
    """Of one square image of ``side`` pixels, ``merge`` x ``merge`` patches a token.

    Raises: NotLaidOutError for a kind or a file that is not known.
    """
    if kind not in KINDS:
        raise NotLaidOutError(kind)
    encoder = Encoder(shape, side, merge, flash_attention=flash_attention)
    encoder.graph.expand(KINDS[kind](encoder))
    return encoder.graph


def _siglip(encoder: Encoder, positions: Tensor) -> Tensor:
    made = op.like("add", encoder.patched(encoder.image()), positions)
    return blocks(encoder, made, Stack())


def gemma3(encoder: Encoder) -> Tensor:
    made = _pooled(encoder, _siglip(encoder, encoder.learned()))
    made = op.like("mul", op.like("rms_norm", made), encoder.weight("mm.soft_emb_norm.weight"))
    return op.mul_mat(op.cont(op.transpose(encoder.weight("mm.input_projection.weight"))), made)


def _pooled(encoder: Encoder, source: Tensor) -> Tensor:
    across, merge = encoder.across, encoder.merge
    made = op.cont(op.transpose(source), across, across, encoder.width)
    short = (across - merge) // merge + 1
    made = op.new("pool_2d", dims(short, short, encoder.width), (made,))
    return op.cont(op.transpose(op.reshape(made, short * short, encoder.width)))


def idefics3(encoder: Encoder) -> Tensor:
    return encoder.linear(encoder.merged(_siglip(encoder, encoder.learned())), "mm.model.fc")


def lfm2(encoder: Encoder) -> Tensor:
    made = encoder.merged(_siglip(encoder, encoder.resized()))
    if encoder.has("mm.input_norm.weight"):
        made = encoder.norm(made, "mm.input_norm", centred=True)
    return encoder.feed_forward(made, "mm.1", "mm.2")


def gemma4(encoder: Encoder) -> Tensor:
    image = op.like("scale", encoder.image())
    made = encoder.patched(image)
    across, down = _places(encoder), _places(encoder)
    table = encoder.learned()
    half = op.view(table, dims(table.ne[0], table.ne[1]))
    for places in (across, down):
        made = op.like("add", made, op.get_rows(half, places))
    stack = Stack(_turned_twice(across, down), normed_values=True, clamped=True)
    made = op.like("scale", _pooled(encoder, blocks(encoder, made, stack)))
    if encoder.has("v.std_bias") and encoder.has("v.std_scale"):
        made = op.like("sub", made, encoder.weight("v.std_bias"))
        made = op.like("mul", made, encoder.weight("v.std_scale"))
    return encoder.linear(op.like("rms_norm", made), "mm.input_projection", clamped=True)


def qwen2(encoder: Encoder) -> Tensor:
    made = encoder.paired(encoder.image())
    positions, tokens = _places(encoder, 4), encoder.patches
    stack = Stack(lambda source: op.like("rope", source, positions))
    made = blocks(encoder, made, stack)
    made = op.reshape(made, 4 * encoder.width, tokens // 4)
    return encoder.feed_forward(made, "mm.0", "mm.2")


def qwen25(encoder: Encoder) -> Tensor:
    """Most blocks look at windows only: tokens are put in their order, and back at the end."""
    made = encoder.paired(encoder.image())
    positions, tokens = _places(encoder, 4), encoder.patches
    order, back = (encoder.given(tokens // 4, element=I32) for _ in range(2))
    mask = encoder.given(tokens, tokens)
    if encoder.flash_attention:
        mask = encoder.half(mask)
    made = op.get_rows(op.reshape(made, 4 * encoder.width, tokens // 4), order)
    stack = Stack(lambda source: op.like("rope", source, positions), mask=mask, whole_every=encoder.pattern)
    made = blocks(encoder, op.reshape(made, encoder.width, tokens), stack)
    made = encoder.feed_forward(op.reshape(made, 4 * encoder.width, tokens // 4), "mm.0", "mm.2")
    return op.get_rows(made, back)


def qwen3(encoder: Encoder) -> Tensor:
    made = op.like("add", encoder.paired(encoder.image()), encoder.squares(encoder.resized()))
    positions = _places(encoder, 4)
    stack = Stack(lambda source: op.like("rope", source, positions))
    made = op.reshape(blocks(encoder, made, stack), 4 * encoder.width, encoder.patches // 4)
    made = encoder.feed_forward(made, "mm.0", "mm.2")
    return made if stack.deep is None else op.concat(made, stack.deep, 0)


def glm4(encoder: Encoder) -> Tensor:
    made = encoder.paired(encoder.image())
    if encoder.has("v.norm_embd.weight"):
        made = encoder.norm(made, "v.norm_embd", centred=False)
    if encoder.has("v.position_embd.weight"):
        made = op.like("add", made, encoder.squares(encoder.resized()))
    positions = _places(encoder, 4)
    made = blocks(encoder, made, Stack(lambda source: op.like("rope", source, positions)))
    merge = encoder.merge
    count = encoder.patches // merge // merge
    made = op.cont(op.permute(op.reshape(made, encoder.width, merge, merge, count), 2, 0, 1, 3))
    made = encoder.convolved(made, "mm.patch_merger.weight", merge)
    made = encoder.shifted(op.reshape(made, made.ne[2], count), "mm.patch_merger.bias")
    made = op.like("unary", encoder.norm(encoder.linear(made, "mm.model.fc"), "mm.post_norm", centred=True))
    return encoder.feed_forward(made, "mm.up", "mm.down", "mm.gate")


def pixtral(encoder: Encoder) -> Tensor:
    merge, short = encoder.merge, encoder.across // encoder.merge
    across, down = _places(encoder), _places(encoder)
    made = blocks(encoder, encoder.patched(encoder.image()), Stack(_turned_twice(across, down)))
    if encoder.has("mm.patch_merger.weight"):
        made = op.like("mul", op.like("rms_norm", made), encoder.weight("mm.input_norm.weight"))
        made = op.cont(
            op.permute(op.reshape(made, encoder.width, encoder.across, encoder.across), 2, 0, 1, 3)
        )
        kernel = op.view(made, dims(merge, merge, made.ne[2]), (F32, 0, 0, 0))
        made = op.new("im2col", dims(merge * merge * encoder.width, short, short), (kernel, made))
        made = op.mul_mat(
            encoder.weight("mm.patch_merger.weight"), op.reshape(made, made.ne[0], short * short)
        )
    return _with_breaks(encoder, encoder.feed_forward(made, "mm.1", "mm.2"), short)


def _with_breaks(encoder: Encoder, source: Tensor, rows: int) -> Tensor:
    """A token at the end of each row of the image."""
    if not encoder.has("v.token_embd.img_break"):
        return source
    width = source.ne[0]
    grid = op.reshape(source, width, rows, rows)
    ends = op.like("scale", op.new("none", dims(width, 1, rows)))
    ends = op.like("add", ends, encoder.weight("v.token_embd.img_break"))
    return op.view(op.concat(grid, ends, 1), dims(width, rows * rows + rows - 1))


def kimi(encoder: Encoder) -> Tensor:
    positions = encoder.resized()
    across, down = _places(encoder), _places(encoder)
    made = op.like("add", encoder.patched(encoder.image()), positions)
    made = encoder.merged(blocks(encoder, made, Stack(_turned_twice(across, down))))
    wide, count = made.ne[0], made.ne[1]
    each = op.view(made, dims(encoder.width, count * wide // encoder.width))
    made = encoder.norm(each, "mm.input_norm", centred=True)
    return encoder.feed_forward(op.view(made, dims(wide, count)), "mm.1", "mm.2")


def internvl(encoder: Encoder) -> Tensor:
    made = encoder.patched(encoder.image())
    own = op.new("repeat", dims(encoder.width, 1), (encoder.weight("v.class_embd"),))
    made = op.like("add", op.concat(made, own, 1), encoder.learned())
    made = blocks(encoder, made, Stack())
    made = op.cont(op.view(made, dims(encoder.width, encoder.patches), made.nb))
    made = encoder.norm(encoder.merged(made), "mm.model.mlp.0", centred=True)
    return encoder.feed_forward(made, "mm.model.mlp.1", "mm.model.mlp.3")


def llama4(encoder: Encoder) -> Tensor:
    down, across = _places(encoder, extra=1), _places(encoder, extra=1)
    kernel = encoder.weight("v.patch_embd.weight")
    shaped = op.reshape(kernel, encoder.patch, encoder.patch, 3, encoder.width)
    made = op.new("im2col", dims(kernel.ne[0], encoder.across, encoder.across), (shaped, encoder.image()))
    made = op.reshape(op.mul_mat(kernel, made), encoder.width, encoder.patches)
    made = op.like("add", op.concat(made, encoder.weight("v.class_embd"), 1), encoder.learned())
    made = blocks(encoder, made, Stack(_turned_twice(across, down)))
    made = op.view(made, dims(encoder.width, encoder.patches))
    merge, short = encoder.merge, encoder.across // encoder.merge
    made = op.permute(op.reshape(made, encoder.width * merge, short, encoder.across), 0, 2, 1, 3)
    wide = encoder.width * merge * merge
    made = op.cont(op.cont(made, wide, short, short), wide, short * short)
    for name in ("mm.model.mlp.1", "mm.model.mlp.2"):
        made = op.like("unary", encoder.linear(made, name))
    return encoder.linear(made, "mm.model.fc")


def _places(encoder: Encoder, each: int = 1, *, extra: int = 0) -> Tensor:
    return encoder.given((encoder.patches + extra) * each, element=I32)


def _turned_twice(across: Tensor, down: Tensor) -> Callable[[Tensor], Tensor]:
    """Half of each head by the column, half by the row."""
    return lambda source: op.like("rope", op.like("rope", source, across), down)


# By ``clip.projector_type``.
KINDS: dict[str, Build] = {
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
