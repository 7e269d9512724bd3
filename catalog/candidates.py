"""Weights with their shape, from each kind of place: the files of a folder, a hub listing, the catalogue."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog import gguf, headers, hub, safetensors, store
from catalog.blueprint import shape_of
from catalog.cache import Cache
from catalog.quants import FILE_TYPES, QuantFiles, quant_of, quants_of, said_by
from catalog.remote import HttpSource, new_client
from catalog.source import ByteSource, FileSource
from domain.errors import BadModelError
from domain.known import KnownModel, KnownQuant, PypiFile
from domain.model import Candidate, ModelShape, Source, WeightFile, Weights
from domain.plan import LLAMA_CPP, VLLM

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Needed:
    """Which of a repository's files the choice needs. Of quants larger than ``most_bytes`` only the
    smallest counts, so that a plan can say by how much it does not fit."""

    engine: str | None = None
    quant: str | None = None
    most_bytes: int | None = None

    def names(self, quant: str) -> bool:
        """Whether ``quant`` is the one that is asked for, where one is."""
        return self.quant is None or self.quant.upper() == quant.upper()

    def of(self, quants: tuple[QuantFiles, ...]) -> tuple[QuantFiles, ...]:
        """The named one, or all where none is called so: the error then tells the names there are."""
        if self.quant:
            return tuple(one for one in quants if self.names(one.quant)) or quants
        if self.most_bytes is None:
            return quants
        fitting = tuple(one for one in quants if one.size_bytes <= self.most_bytes)
        return (*fitting, *quants[len(fitting) : len(fitting) + 1])


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
    opened: Callable[[str], ByteSource] = lambda name: FileSource(folder / name)  # noqa: E731
    found = quants_of(files)
    if found:
        return _readable(origin, found, opened)
    if shards := shards_of(files):
        if missing := safetensors.missing_shards(shards):
            raise BadModelError(f"{folder} is incomplete, these are missing: {', '.join(missing[:3])}")
        return (_safetensors(origin, files, safetensors.read_folder(shards, opened)),)
    raise BadModelError(
        f"{folder} holds no model", hint="a .gguf file, or config.json with .safetensors files, is expected"
    )


def _readable(
    origin: Weights, quants: tuple[QuantFiles, ...], opened: Callable[[str], ByteSource]
) -> tuple[Candidate, ...]:
    """One bad file hides no other. Raises: BadModelError where all are bad."""
    usable, problem = [], None
    for one in quants:
        try:
            usable.append(_gguf(origin, one, gguf.read_model(one.files[0].name, opened)))
        except BadModelError as error:
            log.warning("passed over: folder=%s why=%s", origin.location, error)
            problem = problem or error
    if problem and not usable:
        raise problem
    return tuple(usable)


def of_listing(found: hub.Listing, needed: Needed, *, cache: Cache | None = None) -> tuple[Candidate, ...]:
    """What a repository on the hub holds, with shapes from the headers. Raises: DownloadError,
    BadModelError where nothing of it can be used."""
    return _of_listing(found, needed, cache, online=True)


def as_seen(found: hub.Listing, needed: Needed, *, cache: Cache, at: str) -> tuple[Candidate, ...]:
    """What of ``found``, as the hub said at ``at``, can be planned from the headers that were read."""
    seen = _of_listing(found, needed, cache, online=False)
    return tuple(dataclasses.replace(item, as_of=at) for item in seen)


def _of_listing(
    found: hub.Listing, needed: Needed, cache: Cache | None, *, online: bool
) -> tuple[Candidate, ...]:
    origin = Weights(Source.HUB, found.repo, found.commit, (), "", 0)
    quants = needed.of(quants_of(found.files)) if needed.engine != VLLM else ()
    if quants:
        shapes = headers.of_quants(found, quants, cache=cache, online=online)
        return tuple(_gguf(origin, one, shapes[one.quant]) for one in quants if one.quant in shapes)
    shards = shards_of(found.files) if needed.engine != LLAMA_CPP else ()
    if shards and (shape := headers.of_shards(found, shards, cache=cache, online=online)):
        return (_safetensors(origin, found.files, shape),)
    return ()


def of_url(weights: Weights, *, cache: Cache | None = None) -> Candidate:
    """A GGUF file at an address, with its other parts beside it. Each is asked for its tag once, and read
    on where it is another than was seen. Raises: DownloadError, BadModelError."""
    parts = urlsplit(weights.repo)
    folder = parts.path.rpartition("/")[0]
    name = weights.files[0].name
    with new_client() as client:
        opened = {
            file.name: HttpSource(
                urlunsplit(parts._replace(path=f"{folder}/{file.name}")), name=file.name, client=client
            )
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
    return Candidate(weights, shape)


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


def _gguf(origin: Weights, quant: QuantFiles, shape: ModelShape) -> Candidate:
    weights = dataclasses.replace(origin, files=quant.files, quant=quant.quant, size_bytes=quant.size_bytes)
    return Candidate(weights, shape)


def _safetensors(origin: Weights, files: tuple[WeightFile, ...], shape: ModelShape) -> Candidate:
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
