"""The model that a folder or repository of safetensors holds."""

import dataclasses

from catalog.formats.base import MAX_CONCURRENT_READS, MISSING_FILES, FileTree, NotCachedError, QuantFiles
from catalog.formats.safetensors import kinds, quant_method, reader, sentence_transformers, shards
from catalog.request import FileSelection
from domain.errors import BadModelError
from domain.launches.plan import VLLM
from domain.models.model import ModelShape, ResolvedModel

ENGINE: str = VLLM


def complete_quants(tree: FileTree) -> tuple[QuantFiles, ...]:
    """Every other file of the tree belongs to the weights."""
    files = tuple(file for file in tree.files if not file.name.endswith(".gguf"))
    if tree.missing or not any(file.name.endswith(".safetensors") for file in files):
        return ()
    return (QuantFiles("", files),)


def read_models(tree: FileTree, selection: FileSelection) -> tuple[ResolvedModel, ...]:
    files = selection.filter(tree.files)
    names = tuple(file.name for file in files)
    try:
        chosen = shards.shards_of(names, lambda: reader.read_index(tree.open))
        if not chosen:
            return ()
        shape = _read_shape(tree, names, chosen)
    except NotCachedError:
        return ()
    if tree.missing:
        raise BadModelError(
            f"{tree.origin.repo} is incomplete: {tree.missing[0]} is missing", hint=MISSING_FILES
        )
    needed = tuple(file for file in files if shards.is_needed(file.name, chosen))
    quant = quant_method.kind_of(shape)
    weights = dataclasses.replace(
        tree.origin,
        files=needed,
        quant=quant,
        size_bytes=sum(file.size_bytes or 0 for file in needed),
        kind=kinds.kind_of(shape, tree.origin.repo),
    )
    capability = quant_method.MIN_CAPABILITY.get(quant)
    return (ResolvedModel(weights, shape, engine=ENGINE, compute_capability=capability),)


def _read_shape(tree: FileTree, names: tuple[str, ...], chosen: tuple[str, ...]) -> ModelShape:
    files = (shards.config_name(names, chosen), *sentence_transformers.described_by(names), *chosen)
    shape = tree.cached_shape(files)
    if shape is None:
        shape = reader.read_folder(chosen, tree.open, siblings=names, threads=MAX_CONCURRENT_READS)
        tree.cache_shape(files, shape)
    return shape
