"""Shapes of the models whose speeds were published, rebuilt for a quant and the size of its file."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from catalog.synthetic.header import adjust_to_size, shape_of, tensor_table
from catalog.synthetic.quant_recipes import recipe_of
from config.data import catalogue
from domain.models.catalogue_types import KnownModel, KnownQuant
from domain.models.model import ModelShape
from tests.rigs.replica import shape_from_capture

CAPTURES = Path(__file__).parents[1] / "captures"


@cache
def names() -> dict[str, Any]:
    """What published rows call models and boxes."""
    found: dict[str, Any] = json.loads((CAPTURES / "bench-names.json").read_text())
    return found


def known_model(key: str) -> KnownModel | None:
    """``None`` where neither bench-names.json nor the catalogue has its shape."""
    facts = names()["shapes"].get(key)
    if facts is None:
        known = catalogue().get(key)
        return known if known and known.shape else None
    return KnownModel(key, key, facts["architecture"], facts["parameters"], shape=facts["shape"])


@cache
def rebuilt_shape(key: str, quant: str, size_bytes: int | None) -> ModelShape:
    """``key``: of bench-names.json, the catalogue or llamacpp-architectures.json. ``size_bytes`` ``None``: as
    the recipe of the quant has it."""
    model = known_model(key)
    if model is None:
        return _captured_shape(key, quant, size_bytes)
    if size_bytes is None:
        tensors = tensor_table(model.architecture, model.shape, recipe_of(quant, model.architecture))
        size_bytes = sum(tensor.size_bytes for tensor in tensors)
    return shape_of(model, KnownQuant("", quant, size_bytes))


@cache
def _captured() -> dict[str, Any]:
    """Models whose headers were recorded."""
    models: dict[str, Any] = json.loads((CAPTURES / "llamacpp-architectures.json").read_text())["models"]
    return models


def _captured_shape(key: str, quant: str, size_bytes: int | None) -> ModelShape:
    model = _captured()[key]
    shape = shape_from_capture(model, recipe_of(quant, str(model["metadata"]["general.architecture"])))
    if size_bytes is None:
        return shape
    return replace(shape, tensors=adjust_to_size(shape.tensors, size_bytes, 0), file_bytes=size_bytes)
