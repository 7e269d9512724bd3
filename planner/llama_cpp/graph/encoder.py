"""Builds the graph of an image encoder: patches, positions, attention and feed-forward.

Source: llama.cpp ``tools/mtmd/clip.cpp``: ``clip_graph::build_vit``, ``build_inp``, ``build_attn``,
``build_ffn``, ``resize_position_embeddings``, ``build_patch_merge_permute``.
"""

import math

from domain.models.model import ModelShape
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import UnsupportedGraphError, tensor_table
from planner.llama_cpp.graph.tensor import F16, F32, Graph, Tensor, dims

CHANNELS = 3


class Encoder:
    """``side``: pixels per side of the square image. ``merge`` x ``merge`` patches make a token. Weights
    reside on the first back end."""

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
        self.patches_per_side = side // self.patch
        self.patches = self.patches_per_side * self.patches_per_side
        self._tensors = tensor_table(shape)
        self._types = {tensor.name: tensor.type for tensor in shape.tensors}
        self._weights: dict[str, Tensor] = {}

    @staticmethod
    def _count(shape: ModelShape, key: str, default: int = 0) -> int:
        value = shape.get(f"vision.{key}") or default
        if not isinstance(value, int) or value < 1:
            raise UnsupportedGraphError(key)
        return value

    def has(self, name: str) -> bool:
        return name in self._tensors

    def weight(self, name: str) -> Tensor:
        """Raises: UnsupportedGraphError for a tensor that the file lacks."""
        if name not in self._weights:
            if name not in self._tensors:
                raise UnsupportedGraphError(name)
            ne, size = self._tensors[name]
            cur = Tensor("none", ne, op.strides(ne, F32), size)
            cur.resident_on, cur.is_weight = 0, True
            self._weights[name] = cur
        return self._weights[name]

    def graph_input(self, *ne: int, element_bytes: int = F32) -> Tensor:
        cur = op.new("none", dims(*ne), element_bytes=element_bytes)
        cur.is_input = True
        return cur

    def linear(self, source: Tensor, name: str, *, clamps: bool = False) -> Tensor:
        source = op.like("clamp", source) if clamps else source
        cur = op.mul_mat(self.weight(f"{name}.weight"), source)
        return self.add_bias(op.like("clamp", cur) if clamps else cur, f"{name}.bias")

    def add_bias(self, source: Tensor, name: str) -> Tensor:
        return op.like("add", source, self.weight(name)) if self.has(name) else source

    def norm(self, source: Tensor, name: str, *, is_layer_norm: bool | None = None) -> Tensor:
        """``is_layer_norm``: by default, the kind of norm that the blocks have."""
        is_layer_norm = self.uses_layer_norm if is_layer_norm is None else is_layer_norm
        cur = op.like("norm" if is_layer_norm else "rms_norm", source)
        if self.has(f"{name}.weight"):
            cur = op.like("mul", cur, self.weight(f"{name}.weight"))
        return self.add_bias(cur, f"{name}.bias")

    @property
    def uses_layer_norm(self) -> bool:
        """Whether the norms of the blocks are layer norms, which have a bias, or RMS norms."""
        return self.has("v.blk.0.ln1.bias")

    def image(self) -> Tensor:
        return self.graph_input(self.side, self.side, CHANNELS)

    def convolve(self, image: Tensor, name: str, step: int) -> Tensor:
        """Adjacent patches of ``step`` pixels: (patches per side, patches per side, width, images)."""
        kernel, patches_per_side, images = self.weight(name), image.ne[0] // step, image.ne[3]
        kernel_values = kernel.ne[0] * kernel.ne[1] * kernel.ne[2]
        element_bytes = F32 if self._types[name] == "BF16" else F16
        rows = op.new(
            "im2col",
            dims(kernel_values, patches_per_side, patches_per_side, images),
            (kernel, image),
            element_bytes,
        )
        rows = op.reshape(rows, kernel_values, patches_per_side * patches_per_side * images)
        cur = op.mul_mat(rows, op.reshape(kernel, kernel_values, kernel.ne[3]))
        cur = op.reshape(cur, patches_per_side, patches_per_side, images, kernel.ne[3])
        return op.cont(op.permute(cur, 0, 1, 3, 2))

    def embed_patches(self, image: Tensor) -> Tensor:
        """(width, patches)."""
        cur = op.reshape(self.convolve(image, "v.patch_embd.weight", self.patch), self.patches, self.width)
        return self.add_bias(op.cont(op.transpose(cur)), "v.patch_embd.bias")

    def embed_frame_pair(self, image: Tensor) -> Tensor:
        """(width, patches) of two frames, grouped by merged square."""
        frames = [self.convolve(image, f"v.patch_embd.weight{suffix}", self.patch) for suffix in ("", ".1")]
        cur = op.permute(op.like("add", *frames), 1, 2, 0, 3)
        return self.add_bias(self.group_squares(cur), "v.patch_embd.bias")

    def group_squares(self, source: Tensor) -> Tensor:
        cur = op.cont(source, 2 * self.width, self.patches_per_side // 2, self.patches_per_side)
        cur = op.reshape(cur, 2 * self.width, self.patches_per_side // 2, 2, self.patches_per_side // 2)
        return op.cont(op.permute(cur, 0, 2, 1, 3), self.width, self.patches)

    def position_embedding(self) -> Tensor:
        return self.weight("v.position_embd.weight")

    def resized_position_embedding(self) -> Tensor:
        """Learned positions, interpolated to the size of this image."""
        embedding = self.position_embedding()
        side = math.isqrt(embedding.ne[1])
        if side == self.patches_per_side:
            return embedding
        cur = op.permute(op.reshape(embedding, self.width, side, side), 2, 0, 1, 3)
        cur = op.new("upscale", dims(self.patches_per_side, self.patches_per_side, self.width), (cur,))
        return op.cont(op.permute(cur, 1, 2, 0, 3), self.width, self.patches)

    def feed_forward(
        self, source: Tensor, up: str, down: str, gate: str = "", *, clamps: bool = False
    ) -> Tensor:
        cur = self.linear(source, up, clamps=clamps)
        if self.has(f"{gate}.weight"):
            cur = op.like("glu", self.linear(source, gate, clamps=clamps), cur)
        else:
            cur = op.like("unary", cur)
        return self.linear(cur, down, clamps=clamps)

    def merge_patches(self, source: Tensor) -> Tensor:
        """Concatenates each square of patches to one wider token."""
        width, patches_per_side, merge = source.ne[0], self.patches_per_side, self.merge
        cur = op.reshape(source, width, patches_per_side, patches_per_side)
        merged_side = -(-patches_per_side // merge)
        if patches_per_side % merge:
            cur = op.new("pad", dims(width, merged_side * merge, merged_side * merge), (cur,))
        cur = op.permute(op.reshape(cur, width * merge, merged_side, merged_side * merge), 0, 2, 1, 3)
        cur = op.permute(op.cont(cur, width * merge * merge, merged_side, merged_side), 0, 2, 1, 3)
        return op.cont(cur, width * merge * merge, merged_side * merged_side)

    def to_f16(self, source: Tensor) -> Tensor:
        return op.new("cpy", source.ne, (source,), F16)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        self.graph.expand(q, k, v)
        q, k = op.permute(q, 0, 2, 1, 3), op.permute(k, 0, 2, 1, 3)
        width, tokens = q.ne[0] * q.ne[2], q.ne[1]
        masks = [] if mask is None else [mask]
        if self.flash_attention:
            k, v = self.to_f16(k), self.to_f16(op.permute(v, 0, 2, 1, 3))
            masks = [self.to_f16(own_mask) for own_mask in masks]
            ne = (v.ne[0], q.ne[2], q.ne[1], q.ne[3])
            return op.reshape(op.new("flash_attn", ne, (q, k, v, *masks)), width, tokens)
        v = op.cont(op.permute(v, 1, 2, 0, 3))
        scores = op.like("soft_max", op.mul_mat(k, q), *masks)
        return op.cont(op.permute(op.mul_mat(v, scores), 0, 2, 1, 3), width, tokens)
