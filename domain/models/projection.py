"""Whether a projector was made for a model: the vectors that it gives are as wide as the model's own.

Source: llama.cpp ``clip_n_mmproj_embd`` in ``tools/mtmd/clip.cpp``, and the comparison in ``mtmd.cpp``.
"""

import re

from domain.models.model import ModelShape

# The matrix whose output the model gets, whichever of these is there first.
_LAST_MATRICES = ("mm.model.fc.weight", "mm.model.mlp.3.weight", "mm.2.weight")
_EITHER_WAY = "mm.input_projection.weight"  # stored transposed by some
_DEEPSTACK = re.compile(r"v\.deepstack\.(\d+)\.fc2\.weight")
# In their files ``projection_dim`` is CLIP's own.
_OLD_TYPES = frozenset({"ldp", "ldpv2", "adapter", "resampler"})


def mismatch(projector: ModelShape, model: ModelShape) -> str:
    """Why the engine would refuse ``projector`` beside ``model``, as the end of a sentence about it; empty if
    it would not, or if a header does not say."""
    given, wanted = vector_width(projector), model.get("embedding_length")
    if given is None or not isinstance(wanted, int):
        return ""
    blocks = model.get("n_deepstack_layers")
    wanted *= 1 + (blocks if isinstance(blocks, int) else 0)
    if given == wanted:
        return ""
    return f"it is of another model: it gives vectors of {given} values, and this model takes {wanted}"


def vector_width(projector: ModelShape) -> int | None:
    """Values of each vector, with those for the deeper blocks that some models take."""
    width = _width_of_tensors(projector) or _width_of_header(projector)
    if width is None:
        return None
    deeper = {match[1] for tensor in projector.tensors if (match := _DEEPSTACK.fullmatch(tensor.name))}
    return width * (1 + len(deeper))


def _width_of_tensors(projector: ModelShape) -> int | None:
    shapes = {tensor.name: tensor.shape for tensor in projector.tensors if len(tensor.shape) == 2}
    if (either := shapes.get(_EITHER_WAY)) is not None:
        own = projector.get("vision.embedding_length")
        return next((width for width in reversed(either) if width != own), either[1])
    return next((shapes[name][1] for name in _LAST_MATRICES if name in shapes), None)


def _width_of_header(projector: ModelShape) -> int | None:
    if projector.get("projector_type") in _OLD_TYPES:
        return None
    declared = (projector.get(f"{encoder}.projection_dim") for encoder in ("vision", "audio"))
    return next((width for width in declared if isinstance(width, int) and width > 0), None)
