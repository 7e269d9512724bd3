"""One image on its way through an encoder: patches, blocks of attention and feed-forward.

Source: llama.cpp ``tools/mtmd/clip.cpp``: ``clip_graph::build_vit``, ``build_inp``, ``build_attn``,
``build_ffn``, ``resize_position_embeddings``, ``build_patch_merge_permute``.
"""

import math

from domain.model import ModelShape
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.context import NotLaidOutError, table
from planner.llama_cpp.graph.tensor import F16, F32, Graph, Tensor, dims

COLOURS = 3


class Encoder:
    """``side``: of the square image, in pixels; ``merge`` x ``merge`` patches make a token. Weights are on
    the first back end."""

    def __init__(self, shape: ModelShape, side: int, merge: int, *, flash_attention: bool) -> None:
        self.graph = Graph()
        self.flash_attention = flash_attention
        self.side = side
        self.merge = merge
        self.patch = self._count(shape, "patch_size")
        self.width = self._count(shape, "embedding_length")
        self.heads = self._count(shape, "attention.head_count")
        self.blocks = self._count(shape, "block_count")
        self.pattern = self._count(shape, "n_wa_pattern", 1)
        self.across = side // self.patch
        self.patches = self.across * self.across
        self._table = table(shape)
        self._types = {one.name: one.type for one in shape.tensors}
        self._weights: dict[str, Tensor] = {}

    @staticmethod
    def _count(shape: ModelShape, key: str, default: int = 0) -> int:
        value = shape.get(f"vision.{key}") or default
        if not isinstance(value, int) or value < 1:
            raise NotLaidOutError(key)
        return value

    def has(self, name: str) -> bool:
        return name in self._table

    def weight(self, name: str) -> Tensor:
        """Raises: NotLaidOutError for a tensor that the file lacks."""
        if name not in self._weights:
            if name not in self._table:
                raise NotLaidOutError(name)
            ne, size = self._table[name]
            made = Tensor("none", ne, op.strides(ne, F32), size)
            made.home, made.is_weight = 0, True
            self._weights[name] = made
        return self._weights[name]

    def given(self, *ne: int, element: int = F32) -> Tensor:
        made = op.new("none", dims(*ne), element=element)
        made.is_input = True
        return made

    def linear(self, source: Tensor, name: str, *, clamped: bool = False) -> Tensor:
        source = op.like("clamp", source) if clamped else source
        made = op.mul_mat(self.weight(f"{name}.weight"), source)
        return self.shifted(op.like("clamp", made) if clamped else made, f"{name}.bias")

    def shifted(self, source: Tensor, name: str) -> Tensor:
        return op.like("add", source, self.weight(name)) if self.has(name) else source

    def norm(self, source: Tensor, name: str, *, centred: bool) -> Tensor:
        made = op.like("norm" if centred else "rms_norm", source)
        if self.has(f"{name}.weight"):
            made = op.like("mul", made, self.weight(f"{name}.weight"))
        return self.shifted(made, f"{name}.bias")

    @property
    def is_centred(self) -> bool:
        """Norms of blocks: those with a bias are layer norms, the others RMS norms, in every kind."""
        return self.has("v.blk.0.ln1.bias")

    def image(self) -> Tensor:
        return self.given(self.side, self.side, COLOURS)

    def convolved(self, image: Tensor, name: str, step: int) -> Tensor:
        """Side by side patches of ``step`` pixels: (across, across, width, images)."""
        kernel, across, count = self.weight(name), image.ne[0] // step, image.ne[3]
        depth = kernel.ne[0] * kernel.ne[1] * kernel.ne[2]
        element = F32 if self._types[name] == "BF16" else F16
        rows = op.new("im2col", dims(depth, across, across, count), (kernel, image), element)
        rows = op.reshape(rows, depth, across * across * count)
        made = op.mul_mat(rows, op.reshape(kernel, depth, kernel.ne[3]))
        made = op.reshape(made, across, across, count, kernel.ne[3])
        return op.cont(op.permute(made, 0, 1, 3, 2))

    def patched(self, image: Tensor) -> Tensor:
        """(width, patches)."""
        made = op.reshape(self.convolved(image, "v.patch_embd.weight", self.patch), self.patches, self.width)
        return self.shifted(op.cont(op.transpose(made)), "v.patch_embd.bias")

    def paired(self, image: Tensor) -> Tensor:
        """Of two frames, patches of one merged square after another."""
        frames = [self.convolved(image, f"v.patch_embd.weight{which}", self.patch) for which in ("", ".1")]
        made = op.permute(op.like("add", *frames), 1, 2, 0, 3)
        return self.shifted(self.squares(made), "v.patch_embd.bias")

    def squares(self, source: Tensor) -> Tensor:
        made = op.cont(source, 2 * self.width, self.across // 2, self.across)
        made = op.reshape(made, 2 * self.width, self.across // 2, 2, self.across // 2)
        return op.cont(op.permute(made, 0, 2, 1, 3), self.width, self.patches)

    def learned(self) -> Tensor:
        return self.weight("v.position_embd.weight")

    def resized(self) -> Tensor:
        """Learned positions, stretched to this image."""
        found = self.learned()
        side = math.isqrt(found.ne[1])
        if side == self.across:
            return found
        made = op.permute(op.reshape(found, self.width, side, side), 2, 0, 1, 3)
        made = op.new("upscale", dims(self.across, self.across, self.width), (made,))
        return op.cont(op.permute(made, 1, 2, 0, 3), self.width, self.patches)

    def feed_forward(
        self, source: Tensor, up: str, down: str, gate: str = "", *, clamped: bool = False
    ) -> Tensor:
        made = self.linear(source, up, clamped=clamped)
        if self.has(f"{gate}.weight"):
            made = op.like("glu", self.linear(source, gate, clamped=clamped), made)
        else:
            made = op.like("unary", made)
        return self.linear(made, down, clamped=clamped)

    def merged(self, source: Tensor) -> Tensor:
        """Each square of patches as one wider token."""
        width, across, factor = source.ne[0], self.across, self.merge
        made = op.reshape(source, width, across, across)
        short = -(-across // factor)
        if across % factor:
            made = op.new("pad", dims(width, short * factor, short * factor), (made,))
        made = op.permute(op.reshape(made, width * factor, short, short * factor), 0, 2, 1, 3)
        made = op.permute(op.cont(made, width * factor * factor, short, short), 0, 2, 1, 3)
        return op.cont(made, width * factor * factor, short * short)

    def half(self, source: Tensor) -> Tensor:
        return op.new("cpy", source.ne, (source,), F16)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        self.graph.expand(q, k, v)
        q, k = op.permute(q, 0, 2, 1, 3), op.permute(k, 0, 2, 1, 3)
        width, tokens = q.ne[0] * q.ne[2], q.ne[1]
        masks = [] if mask is None else [mask]
        if self.flash_attention:
            k, v = self.half(k), self.half(op.permute(v, 0, 2, 1, 3))
            masks = [self.half(one) for one in masks]
            ne = (v.ne[0], q.ne[2], q.ne[1], q.ne[3])
            return op.reshape(op.new("flash_attn", ne, (q, k, v, *masks)), width, tokens)
        v = op.cont(op.permute(v, 1, 2, 0, 3))
        scores = op.like("soft_max", op.mul_mat(k, q), *masks)
        return op.cont(op.permute(op.mul_mat(v, scores), 0, 2, 1, 3), width, tokens)
