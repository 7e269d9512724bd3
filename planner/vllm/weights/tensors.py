"""A model's tensors in groups of equal ones: a mixture of experts has 150,000 tensors and twenty groups.

Every sum is taken over groups, which are made once for a plan.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.models.model import ModelShape, Tensor
from planner.vllm.model_config import Config

# What tensors are called, in the words of all publishers.
EMBEDDING = re.compile(r"(embed_tokens|wte|word_embeddings|tok_embeddings|embeddings)\.weight$")
OUTPUT = re.compile(r"lm_head\.|^output\.weight$")
EXPERTS = re.compile(r"\.experts?\.|_experts")
ENCODERS = re.compile(r"(^|\.)(visual|vision_\w+|audio_\w+|image_\w+)\.")  # no text token passes them

_EXPERTS = ".experts."
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_NOT_LOADED = re.compile(r"rotary_emb\.inv_freq$|^(model\.)?mtp\.|\.masked_bias$")


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors of one type and shape whose names differ only in the numbers of layer and expert. ``name`` is
    that of the first, ``size_bytes`` the size of all ``count`` of them."""

    name: str
    type: str
    shape: tuple[int, ...]
    count: int
    size_bytes: int


def loaded_tensors(shape: ModelShape, config: Config) -> tuple[TensorGroup, ...]:
    """Of the tensors that vLLM loads."""
    return _groups(_Tensors(shape.tensors), config.layers, config.is_tied)


def has_encoder(shape: ModelShape, config: Config) -> bool:
    """Whether the model sees or hears."""
    return any(ENCODERS.search(group.name) for group in loaded_tensors(shape, config))


class _Tensors:
    """The tensors of one shape, equal to themselves alone: to compare as many would take as long as a sum."""

    __slots__ = ("tensors",)

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors

    def __hash__(self) -> int:
        return id(self.tensors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tensors) and other.tensors is self.tensors


@lru_cache(maxsize=16)
def _groups(of: _Tensors, layers: int, is_tied: bool) -> tuple[TensorGroup, ...]:
    found: dict[tuple[str, str, tuple[int, ...]], list[TensorGroup]] = {}
    for group in _alike_experts(of.tensors):
        if is_loaded(group.name, layers, is_tied=is_tied):
            key = _NUMBER.sub("", group.name), group.type, group.shape
            found.setdefault(key, []).append(group)
    return tuple(
        TensorGroup(
            groups[0].name,
            kind,
            shape,
            sum(group.count for group in groups),
            sum(group.size_bytes for group in groups),
        )
        for (_, kind, shape), groups in found.items()
    )


def _alike_experts(tensors: Sequence[Tensor]) -> Iterator[TensorGroup]:
    """Without a regular expression: this sees each tensor."""
    found: dict[tuple[str, str, tuple[int, ...]], list[Tensor]] = {}
    for tensor in tensors:
        name = tensor.name
        at = name.find(_EXPERTS)
        if at >= 0:
            begins = at + len(_EXPERTS)
            name = name[:begins] + name[name.find(".", begins) :]
        found.setdefault((name, tensor.type, tensor.shape), []).append(tensor)
    for (_, kind, shape), alike in found.items():
        size_bytes = sum(tensor.size_bytes for tensor in alike)
        yield TensorGroup(alike[0].name, kind, shape, len(alike), size_bytes)


def is_loaded(name: str, layers: int, *, is_tied: bool) -> bool:
    """Multi-token-prediction heads are not loaded, nor a copy of a tied embedding."""
    if _NOT_LOADED.search(name) or (is_tied and name.endswith("lm_head.weight")):
        return False
    match = _BLOCK.search(name)
    return "vision" in name or "visual" in name or match is None or int(match.group(1)) < layers
