"""The file that turns images into tokens for gemma-3, with fewer blocks: its graph takes as much."""

from domain.model import ModelShape, Tensor

TYPE_BYTES = {"F16": 2, "F32": 4}


def gemma3_projector(*, out: int = 576, blocks: int = 2) -> ModelShape:
    """Of a model whose embedding is ``out`` wide."""
    width, inner, side, patch = 1152, 4304, 896, 14
    tensors = [
        tensor("v.patch_embd.weight", "F16", patch, patch, 3, width),
        tensor("v.patch_embd.bias", "F32", width),
        tensor("v.position_embd.weight", "F32", width, (side // patch) ** 2),
        tensor("v.post_ln.weight", "F32", width),
        tensor("v.post_ln.bias", "F32", width),
        tensor("mm.input_projection.weight", "F16", out, width),
        tensor("mm.soft_emb_norm.weight", "F32", width),
    ]
    for number in range(blocks):
        tensors += block(f"v.blk.{number}.", width, inner)
    return ModelShape(
        architecture="clip",
        tensors=tuple(tensors),
        file_bytes=sum(one.size_bytes for one in tensors),
        metadata={
            "general.architecture": "clip",
            "clip.has_vision_encoder": True,
            "clip.projector_type": "gemma3",
            "clip.use_gelu": True,
            "clip.vision.image_size": side,
            "clip.vision.patch_size": patch,
            "clip.vision.embedding_length": width,
            "clip.vision.feed_forward_length": inner,
            "clip.vision.attention.head_count": 16,
            "clip.vision.attention.layer_norm_epsilon": 1e-6,
            "clip.vision.block_count": blocks,
            "clip.vision.projection_dim": out,
            "clip.vision.image_mean": (0.5, 0.5, 0.5),
            "clip.vision.image_std": (0.5, 0.5, 0.5),
        },
    )


def block(name: str, width: int, inner: int) -> list[Tensor]:
    sizes = {
        **{f"attn_{part}": (width, width) for part in ("q", "k", "v", "out")},
        "ffn_up": (width, inner),
        "ffn_down": (inner, width),
    }
    norms = [
        tensor(f"{name}{norm}.{part}", "F32", width) for norm in ("ln1", "ln2") for part in ("weight", "bias")
    ]
    matrices = [tensor(f"{name}{part}.weight", "F16", *shape) for part, shape in sizes.items()]
    return [
        *norms,
        *matrices,
        *(tensor(f"{name}{part}.bias", "F32", shape[1]) for part, shape in sizes.items()),
    ]


def tensor(name: str, kind: str, *shape: int) -> Tensor:
    values = 1
    for size in shape:
        values *= size
    return Tensor(name, kind, shape, values * TYPE_BYTES[kind])
