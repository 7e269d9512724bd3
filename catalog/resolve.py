"""Resolves a model's name to weights that an engine here could load, with their shapes.

What is complete on this disk is used without the network. Otherwise the hub is asked (``hub.models``); if it
does not answer, a wheel that holds the model stands in, and last, for planning alone, the catalogue's facts.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from catalog import names
from catalog.formats.byte_source import unreadable
from catalog.formats.gguf import reader
from catalog.formats.safetensors import conversion
from catalog.hub import errors as hub_errors
from catalog.hub.cache import Cache
from catalog.hub.errors import NoSuchRepoError, UnavailableError
from catalog.hub.models import HubModels, offline_error
from catalog.local import layout
from catalog.local import models as local_models
from catalog.local.projectors import with_projector_beside
from catalog.names import Catalogue
from catalog.request import ModelRequest
from catalog.resolved_models import model_of_file, model_of_url, model_of_wheel
from domain.errors import BadModelError, DownloadError, UnknownModelError, UsageError
from domain.launches.plan import LLAMA_CPP, VLLM
from domain.models.catalogue_types import KnownModel, PypiFile
from domain.models.model import ResolvedModel, Source, WeightFile, Weights
from domain.suggestions import near

log = logging.getLogger(__name__)
NO_PATH = "check the path; a name of the catalogue, a URL or owner/repo works, too"


def resolve(
    request: ModelRequest,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    cache: Cache | None = None,
    places: Sequence[Path] = (),
) -> tuple[ResolvedModel, ...]:
    """Every choice of weights for ``request``, at least one. ``places`` are where other tools keep weights:
    those with the hub's layout are searched, and links of the store may lead to any of them.

    Raises: UnknownModelError (with the three nearest names), BadModelError, DownloadError, UsageError."""
    by_repo = {repo: entry for entry in catalogue.values() for repo in entry.origins}
    hub = HubModels(request, cache)
    resolver = _Resolver(request, hub, catalogue, by_repo, models_dir, (models_dir, *places))
    try:
        return tuple(resolver.with_facts(model) for model in resolver.for_engine(resolver.find()))
    except UnavailableError as error:
        raise resolver.with_other_quants(error) from error
    except OSError as error:  # a name too long, a folder that is closed to this user, a disk that fails
        raise unreadable(error.filename or request.name.text, error) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Resolver:
    """``by_repo`` has the catalogue's entries by each of their repositories. ``roots`` are laid out as
    the hub's cache: the store first."""

    request: ModelRequest
    hub: HubModels
    catalogue: Catalogue
    by_repo: Catalogue
    models_dir: Path
    roots: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.request.name.text

    def find(self) -> tuple[ResolvedModel, ...]:
        match self.request.name.target:
            case names.Local(path):
                return _find_path(path, self.request.engine)
            case names.Url(url):
                return self._find_url(url)
            case names.Wheel() as wheel:
                return self._find_wheel(wheel)
            case names.Repo(repo=repo, revision=revision):
                return self._of_quant(self._find_repo(repo, revision))
            case names.Alias():
                return self._of_quant(self._find_alias())

    def _find_url(self, url: str) -> tuple[ResolvedModel, ...]:
        name = PurePosixPath(urlsplit(url).path).name
        if not name.endswith(".gguf"):
            raise UsageError(f"{self.name} is not the address of a .gguf file")
        names.checked_path(name)
        files = tuple(WeightFile(part) for part in reader.part_names(name))
        weights = Weights(Source.URL, url, None, files, "", 0)
        if layout.is_complete(weights, self.models_dir):
            path = layout.folder_of(weights, self.models_dir) / name
            return (_with_origin(model_of_file(path), weights),)
        if self.request.offline:
            raise offline_error(self.name)
        return (_checked_kind(name, model_of_url(weights, cache=self.hub.cache)),)

    def _find_wheel(self, wheel: names.Wheel) -> tuple[ResolvedModel, ...]:
        for entry in self.catalogue.values():
            file = entry.pypi
            if file and names.Wheel(file.package, file.version, file.path) == wheel:
                return (self._of_wheel(entry, file),)
        raise names.unknown_model(
            wheel.package, self.catalogue, what=f"no catalogue entry has the digest of {self.name!r}"
        )

    def _find_repo(self, repo: str, revision: str | None) -> tuple[ResolvedModel, ...]:
        local = local_models.find(self.roots, (repo,), revision, self.request.selection)
        return self._with_remote(local, lambda: self._ask_repo(repo, revision))

    def _ask_repo(self, repo: str, revision: str | None) -> tuple[ResolvedModel, ...]:
        try:
            return self.hub.find_repo(repo, revision, self.by_repo.get(repo))
        except NoSuchRepoError as error:
            raise names.unknown_model(repo, self.catalogue, what=str(error)) from error

    def _find_alias(self) -> tuple[ResolvedModel, ...]:
        entry = names.lookup(self.request.name, self.catalogue)
        if entry is None:
            raise names.unknown_model(self.name, self.catalogue)
        for_vllm = self.request.engine == VLLM
        repos = entry.vllm_repos if for_vllm or not entry.gguf_repos else entry.gguf_repos
        local = local_models.find(self.roots, repos, None, self.request.selection)
        wheel = None if for_vllm else entry.pypi
        if wheel and not self.request.selection.has_quant(wheel.quant):
            wheel = None
        if not local and wheel and layout.is_complete(_weights_of(wheel), self.models_dir):
            local = (self._of_wheel(entry, wheel),)
        return self._with_remote(local, lambda: self._ask_model(entry, wheel))

    def _ask_model(self, entry: KnownModel, wheel: PypiFile | None) -> tuple[ResolvedModel, ...]:
        if wheel is None:
            return self.hub.find_model(entry)
        if not entry.gguf_repos:
            return (self._of_wheel(entry, wheel),)
        try:
            return self.hub.ask_model(entry)
        except UnavailableError as error:
            log.info("no hub, a wheel stands in: model=%s why=%s", entry.alias, error)
            return (self._of_wheel(entry, wheel),)

    def _of_wheel(self, entry: KnownModel, file: PypiFile) -> ResolvedModel:
        weights = _weights_of(file)
        if not layout.is_complete(weights, self.models_dir):
            return model_of_wheel(entry, file, weights)
        folder = layout.folder_of(weights, self.models_dir)
        return _with_origin(model_of_file(folder / file.path), weights, location=folder)

    def _with_remote(
        self,
        local: tuple[ResolvedModel, ...],
        ask: Callable[[], tuple[ResolvedModel, ...]],
    ) -> tuple[ResolvedModel, ...]:
        """What is on this disk, with what there is elsewhere where that may do better."""
        suffices = local_models.suffice(local, self.request)
        if local and (self.request.offline or (suffices and not self.request.complete)):
            return local_models.with_note_of_projector(local, self.hub.cached_projector, self.name)
        try:
            remote = ask()
            if suffices:
                return local_models.with_companions(local, remote, self.models_dir)
            return local_models.merge(local, remote)
        except (DownloadError, BadModelError, UnknownModelError) as error:
            if not local:
                raise
            log.info("using only what is on this disk: model=%s why=%s", self.name, error)
            return local

    def _of_quant(self, models: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
        """Those of the quant that is named, or all if none is."""
        quant = self.request.name.quant
        if quant is None:
            return models
        matching = tuple(model for model in models if model.weights.quant.upper() == quant.upper())
        if not matching:
            sizes = {model.weights.quant: model.weights.size_bytes for model in models}
            raise names.unknown_quant(self.name, quant, sizes)
        return matching

    def with_other_quants(self, error: UnavailableError) -> UnavailableError:
        """``error`` with the quants that are on this disk, else with those that the catalogue knows, where
        another one was asked for."""
        name, quant = self.name, self.request.name.quant
        if others := self.other_quants_here():
            return hub_errors.only_others(name, quant, self.request.engine, others, error)
        known = self.known_quants() if quant and self.request.engine != VLLM else {}
        if quant and known and quant.upper() not in map(str.upper, known):
            return hub_errors.not_known(name, quant, known, error)
        return error

    def known_quants(self) -> dict[str, int | None]:
        """The published sizes that the catalogue has, by quant."""
        target = self.request.name.target
        entry = names.lookup(self.request.name, self.catalogue)
        repos = entry.gguf_repos if entry else ()
        if isinstance(target, names.Repo):
            entry, repos = self.by_repo.get(target.repo), (target.repo,)
        if entry is None:
            return {}
        known = {row.quant: row.size_bytes for row in entry.quants if row.repo in repos}
        wheel = entry.pypi if isinstance(target, names.Alias) else None
        return {**({wheel.quant: wheel.size_bytes} if wheel else {}), **known}

    def other_quants_here(self) -> tuple[ResolvedModel, ...]:
        """What of the model is on this disk, where the request names a quant or an engine that is not."""
        request, others = self.request, list[ResolvedModel]()
        if not isinstance(request.name.target, names.Alias | names.Repo):
            return ()
        if not (request.name.quant or request.engine):
            return ()
        for engine in (LLAMA_CPP, VLLM):
            any_quant = ModelRequest(request.name.of_any_quant(), engine, offline=True)
            hub = dataclasses.replace(self.hub, request=any_quant)
            with suppress(DownloadError, BadModelError):
                models = dataclasses.replace(self, request=any_quant, hub=hub).find()
                others += [model for model in models if model.weights.location is not None]
        return tuple(others)

    def for_engine(self, models: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
        """Raises: UsageError if none of them is for the engine that is asked for."""
        engine = self.request.engine
        usable = tuple(model for model in models if engine in (None, model.engine))
        if usable:
            return usable
        if engine == VLLM:
            raise UsageError(
                f"{self.name} holds GGUF files only, which {VLLM} does not serve here",
                hint=f"leave out --engine, or set it to {LLAMA_CPP}",
            )
        convert = conversion.convert_command(self.name)
        raise UsageError(
            f"{self.name} holds safetensors only, which {LLAMA_CPP} does not serve here",
            hint=f"leave out --engine, or set it to {VLLM}; or convert it: {convert}",
        )

    def with_facts(self, model: ResolvedModel) -> ResolvedModel:
        """With what the catalogue knows of it."""
        entry = self.by_repo.get(model.weights.repo)
        if entry is None:
            return model
        row = next((row for row in entry.vllm if row.repo == model.weights.repo), None)
        return dataclasses.replace(
            model,
            chat=entry.chat or model.chat,
            compute_capability=(row and row.compute_capability) or model.compute_capability,
            notes=(*model.notes, *_notes(entry, model)),
        )


def _find_path(path: Path, engine: str | None) -> tuple[ResolvedModel, ...]:
    if path.is_dir():
        next(path.iterdir(), None)  # raises for a closed folder; a glob in it would match nothing
        return local_models.read_folder(path.resolve(), engine)
    if not path.exists():
        siblings = (sibling.name for sibling in path.parent.glob("*.gguf"))
        raise UnknownModelError(
            str(path), near=near(path.name, siblings), what=f"{path} does not exist", hint=NO_PATH
        )
    return (with_projector_beside(_checked_kind(path.name, model_of_file(path))),)


def _checked_kind(name: str, model: ResolvedModel) -> ResolvedModel:
    """Raises: BadModelError for a file that is no model by itself."""
    kind = model.weights.kind
    if not kind.is_served:
        raise BadModelError(f"{name} is {kind.description}", hint=kind.hint)
    return model


def _notes(entry: KnownModel, model: ResolvedModel) -> tuple[str, ...]:
    gated = ", which its publisher asks to accept first" if entry.gated else ""
    licence = (f"licence: {entry.licence}{gated}",) if entry.licence else ()
    has_no_gguf = model.engine == VLLM and not entry.gguf_repos
    issues = tuple(f"known issue: {issue}" for issue in entry.known_issues)
    return (*licence, *issues, *(("no GGUF files of it are known",) if has_no_gguf else ()))


def _weights_of(file: PypiFile) -> Weights:
    files = (WeightFile(names.checked_path(file.path), file.size_bytes, file.sha256),)
    return Weights(Source.PYPI, file.package, file.version, files, file.quant, file.size_bytes)


def _with_origin(model: ResolvedModel, origin: Weights, *, location: Path | None = None) -> ResolvedModel:
    """``model`` on this disk, under the source and repository that it was downloaded from."""
    weights = dataclasses.replace(
        model.weights,
        source=origin.source,
        repo=origin.repo,
        revision=origin.revision,
        files=origin.files if origin.size_bytes else model.weights.files,
        location=str(location or model.weights.location),
    )
    return dataclasses.replace(model, weights=weights)
