"""Weights with their shape, from each kind of place: the files of a folder, a hub listing, the catalogue."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from catalog import gguf, hub, safetensors, store
from catalog.blueprint import shape_of
from catalog.quants import FILE_TYPES, QuantFiles, quant_of, quants_of, said_by
from catalog.source import ByteSource, FileSource
from domain.errors import BadModelError
from domain.known import KnownModel, KnownQuant, PypiFile
from domain.model import Candidate, ModelShape, Source, WeightFile, Weights
from domain.plan import LLAMA_CPP, VLLM


def of_gguf_file(path: Path) -> Candidate:
    """A GGUF file on this disk, with its other parts. Raises: BadModelError."""
    shape = gguf.read_file(path)
    names = gguf.part_names(path.name)
    files = tuple(WeightFile(name, path.with_name(name).stat().st_size) for name in names)
    folder = str(path.parent.resolve())
    quant = quant_of_shape(shape, path.name)
    size_bytes = sum(file.size_bytes or 0 for file in files)
    return Candidate(Weights(Source.FILE, folder, None, files, quant, size_bytes, folder), shape)


def of_folder(folder: Path, *, weights: Weights | None = None) -> tuple[Candidate, ...]:
    """What a folder holds: GGUF quants, or a safetensors model. Raises: BadModelError."""
    files = store.files_below(folder)
    origin = weights or Weights(Source.FILE, str(folder), None, (), "", 0)
    origin = dataclasses.replace(origin, location=str(folder))
    found = quants_of(files)
    if found:
        return tuple(_gguf(origin, quant, lambda name: FileSource(folder / name)) for quant in found)
    if shards := shards_of(files):
        if missing := safetensors.missing_shards(shards):
            raise BadModelError(f"{folder} is incomplete, these are missing: {', '.join(missing[:3])}")
        return (_safetensors(origin, files, lambda name: FileSource(folder / name)),)
    raise BadModelError(
        f"{folder} holds no model", hint="a .gguf file, or config.json with .safetensors files, is expected"
    )


def of_listing(found: hub.Listing, *, engine: str | None) -> tuple[Candidate, ...]:
    """What a repository on the hub holds, with shapes from the headers. Raises: DownloadError."""
    origin = Weights(Source.HUB, found.repo, found.commit, (), "", 0)
    opened: Callable[[str], ByteSource] = lambda name: hub.source(found, name)  # noqa: E731
    quants = quants_of(found.files) if engine != VLLM else ()
    if quants:
        known: list[gguf.Header] = []
        return tuple(_gguf(origin, quant, opened, known) for quant in quants)
    if engine != LLAMA_CPP and shards_of(found.files):
        return (_safetensors(origin, found.files, opened),)
    return ()


def of_catalogue(model: KnownModel, quant: KnownQuant) -> Candidate:
    """A quant that cannot be reached now, by what the catalogue knows of it. Raises: BadModelError."""
    stem = quant.repo.rpartition("/")[2].removesuffix("-GGUF")
    name = quant.file or f"{stem}-{quant.quant}.gguf"  # as publishers use to call it
    files = (WeightFile(name, quant.size_bytes if quant.file else None, quant.sha256),)
    weights = Weights(Source.HUB, quant.repo, None, files, quant.quant, quant.size_bytes)
    return Candidate(weights, shape_of(model, quant), exact=False)


def of_wheel(model: KnownModel, file: PypiFile, weights: Weights) -> Candidate:
    """A file of a wheel that is not fetched yet. Raises: BadModelError."""
    quant = KnownQuant(file.package, file.quant, file.size_bytes, file.path, file.sha256)
    return Candidate(weights, shape_of(model, quant), exact=False)


def quant_of_shape(shape: ModelShape, name: str) -> str:
    """The quant that the file's name says (UD-Q4_K_XL is no type of llama.cpp), else its header."""
    kind = shape.metadata.get("general.file_type")
    return said_by(name) or (FILE_TYPES.get(kind) if isinstance(kind, int) else None) or quant_of(name)


def shards_of(files: tuple[WeightFile, ...]) -> tuple[str, ...]:
    """The safetensors files at the top of a folder that also has a config.json, in order."""
    names = {file.name for file in files}
    if safetensors.CONFIG not in names:
        return ()
    return tuple(sorted(name for name in names if name.endswith(".safetensors") and "/" not in name))


def _gguf(
    origin: Weights,
    quant: QuantFiles,
    opened: Callable[[str], ByteSource],
    known: list[gguf.Header] | None = None,
) -> Candidate:
    shape = gguf.read_model(quant.files[0].name, opened, known=known)
    weights = dataclasses.replace(origin, files=quant.files, quant=quant.quant, size_bytes=quant.size_bytes)
    return Candidate(weights, shape)


def _safetensors(
    origin: Weights, files: tuple[WeightFile, ...], opened: Callable[[str], ByteSource]
) -> Candidate:
    shape = safetensors.read_folder(shards_of(files), opened)
    needed = tuple(file for file in files if _is_needed(file.name))
    size_bytes = sum(file.size_bytes or 0 for file in needed)
    weights = dataclasses.replace(origin, files=needed, quant=_dtype(shape), size_bytes=size_bytes)
    return Candidate(weights, shape, engine=VLLM)


def _is_needed(name: str) -> bool:
    """Weights, configuration and tokenizer, all at the top; not the same weights in other formats."""
    return "/" not in name and name.endswith(
        (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken")
    )


def _dtype(shape: ModelShape) -> str:
    """The quantization method of config.json, else the dtype that most bytes have."""
    method = shape.get("quantization_config.quant_method")
    if isinstance(method, str):
        return method
    sizes: dict[str, int] = {}
    for tensor in shape.tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size_bytes
    return max(sizes, key=lambda kind: sizes[kind], default="")
