"""From a name to candidates: weights that an engine here could load, with their shapes.

What is complete on this disk is used without any network. Else the hub is asked; where it does not
answer, a wheel that holds the model stands in; and last, for planning alone, the catalogue's facts.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from catalog import candidates as of
from catalog import gguf, hub, names, store
from catalog.cache import Cache
from domain.errors import BadModelError, DownloadError, UnknownModelError, UsageError
from domain.known import KnownModel, KnownQuant, PypiFile
from domain.model import Candidate, Source, WeightFile, Weights
from domain.plan import LLAMA_CPP, VLLM

log = logging.getLogger(__name__)
Catalogue = Mapping[str, KnownModel]


def candidates(
    name: str,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    engine: str | None = None,
    offline: bool = False,
    most_bytes: int | None = None,
    cache: Cache | None = None,
) -> tuple[Candidate, ...]:
    """Every choice of weights behind ``name``, at least one. Of a repository's quants larger than
    ``most_bytes`` only the smallest is looked at.

    Raises: UnknownModelError (with the three nearest names), BadModelError, DownloadError, UsageError."""
    parsed = names.parse(name)
    quant = parsed.quant if isinstance(parsed, names.Repo | names.Alias) else None
    needed = of.Needed(engine, quant, most_bytes)
    search = _Search(name, catalogue, models_dir, needed, cache, offline)
    match parsed:
        case names.Local(path):
            found = search.local(path)
        case names.Url(url):
            found = search.url(url)
        case names.Wheel():
            found = search.wheel(parsed)
        case names.Repo(repo, _, revision):
            found = search.only(search.repo(repo, revision))
        case names.Alias(alias, _):
            found = search.only(search.alias(alias))
    return search.for_engine(found)


@dataclasses.dataclass(frozen=True, slots=True)
class _Search:
    name: str
    catalogue: Catalogue
    models_dir: Path
    needed: of.Needed
    cache: Cache | None
    offline: bool

    @property
    def engine(self) -> str | None:
        return self.needed.engine

    def local(self, path: Path) -> tuple[Candidate, ...]:
        if path.is_dir():
            return of.of_folder(path.resolve())
        if not path.exists():
            beside = (found.name for found in path.parent.glob("*.gguf"))
            near = names.nearest(path.name, beside)
            raise UnknownModelError(str(path), near=near, what=f"{path} does not exist")
        return (of.of_gguf_file(path),)

    def url(self, url: str) -> tuple[Candidate, ...]:
        parts = urlsplit(url)
        name = PurePosixPath(parts.path).name
        if not name.endswith(".gguf"):
            raise UsageError(f"{url} is no address of a .gguf file")
        names.checked_path(name)
        files = tuple(WeightFile(part) for part in gguf.part_names(name))
        weights = Weights(Source.URL, url, None, files, "", 0)
        if store.is_complete(weights, self.models_dir):
            return (_placed(of.of_gguf_file(store.folder_of(weights, self.models_dir) / name), weights),)
        if self.offline:
            raise self._missing()
        return (of.of_url(weights, cache=self.cache),)

    def wheel(self, wanted: names.Wheel) -> tuple[Candidate, ...]:
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

    def repo(self, repo: str, revision: str | None) -> tuple[Candidate, ...]:
        if found := self._on_disk((repo,), revision):
            return found
        try:
            return self._on_hub(repo, revision)
        except hub.HubSilentError:
            if seen := self._as_seen((repo,), revision):
                return seen
            facts = [
                (model, quant)
                for model in self.catalogue.values()
                for quant in model.quants
                if quant.repo == repo
            ]
            if not facts or self.engine == VLLM:
                raise
            return self._from_facts(facts)
        except hub.NoSuchRepoError as error:
            raise names.unknown(repo, self.catalogue, what=str(error)) from error

    def alias(self, alias: str) -> tuple[Candidate, ...]:
        model = self.catalogue.get(alias) or self.catalogue.get(alias.lower())
        if model is None:
            raise names.unknown(alias, self.catalogue)
        repos = model.vllm_repos if self.engine == VLLM else model.gguf_repos
        if found := self._on_disk(repos, None):
            return found
        wheel = model.pypi if self.engine != VLLM else None
        if wheel and (weights := _weights(wheel)) and store.is_complete(weights, self.models_dir):
            return (self._pypi(model, wheel),)
        try:
            return self._first_on_hub(model, repos)
        except hub.HubSilentError as error:
            log.info("no hub, falling back: model=%s why=%s", alias, error)
            if wheel:
                return (self._pypi(model, wheel),)
            if seen := self._as_seen(repos, None):
                return seen
            if self.engine == VLLM or not model.quants or not model.shape:
                raise
            return self._from_facts([(model, quant) for quant in model.quants])

    def only(self, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The candidates of one quant, where the name asks for one."""
        quant = self.needed.quant
        if quant is None:
            return found
        chosen = tuple(item for item in found if item.weights.quant.upper() == quant.upper())
        if not chosen:
            near = names.nearest(quant.upper(), (item.weights.quant for item in found))
            raise UnknownModelError(quant, near=near, what=f"{self.name}: there is no quant {quant}")
        return chosen

    def for_engine(self, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        fitting = tuple(item for item in found if self.engine in (None, item.engine))
        if fitting:
            return fitting
        what = "GGUF files" if self.engine == VLLM else "safetensors"
        raise UsageError(
            f"{self.name} holds {what} only, which {self.engine} does not serve here",
            hint=f"leave out --engine, or set it to {LLAMA_CPP if self.engine == VLLM else VLLM}",
        )

    def _on_disk(self, repos: Iterable[str], revision: str | None) -> tuple[Candidate, ...]:
        """Complete weights of the first repository that has some here, for this engine."""
        for repo in repos:
            for folder in store.snapshots(self.models_dir, repo, revision):
                weights = Weights(Source.HUB, repo, folder.name, (), "", 0)
                try:
                    found = of.of_folder(folder, weights=weights)
                except BadModelError as error:
                    log.info("snapshot is not usable: folder=%s why=%s", folder, error)
                    continue
                if fitting := tuple(item for item in found if self.engine in (None, item.engine)):
                    return fitting
        return ()

    def _on_hub(self, repo: str, revision: str | None) -> tuple[Candidate, ...]:
        if self.offline:
            raise self._missing()
        listing = hub.listing(repo, revision)
        if self.cache:
            self.cache.keep_listing(listing, revision)
        found = of.of_listing(listing, self.needed, cache=self.cache)
        if not found:
            raise BadModelError(
                f"{repo} holds nothing that {self.engine or 'an engine here'} can load",
                hint="name a repository with .gguf files, or one with safetensors for --engine vllm",
            )
        return found

    def _as_seen(self, repos: Iterable[str], revision: str | None) -> tuple[Candidate, ...]:
        """What the hub said when it was last asked: of the first repository that was looked at."""
        for repo in repos if self.cache else ():
            if self.cache and (seen := self.cache.listing(repo, revision)):
                listing, at = seen
                if found := of.as_seen(listing, self.needed, cache=self.cache, at=at):
                    log.info("no hub, planning from what was seen: repo=%s at=%s", repo, at)
                    return found
        return ()

    def _first_on_hub(self, model: KnownModel, repos: tuple[str, ...]) -> tuple[Candidate, ...]:
        problem: DownloadError | BadModelError | None = None
        for repo in repos:
            try:
                return self._on_hub(repo, None)
            except hub.HubSilentError:
                raise
            except (DownloadError, BadModelError) as error:
                log.warning("repository is not usable: repo=%s why=%s", repo, error)
                problem = problem or error
        if problem:
            raise problem
        raise hub.HubSilentError(
            f"the catalogue names no repository of {model.alias} for {self.engine or LLAMA_CPP}"
        )

    def _from_facts(self, facts: list[tuple[KnownModel, KnownQuant]]) -> tuple[Candidate, ...]:
        return tuple(of.of_catalogue(model, quant) for model, quant in facts)

    def _pypi(self, model: KnownModel, file: PypiFile) -> Candidate:
        weights = _weights(file)
        if store.is_complete(weights, self.models_dir):
            path = store.folder_of(weights, self.models_dir) / file.path
            return _placed(of.of_gguf_file(path), weights, location=store.folder_of(weights, self.models_dir))
        return of.of_wheel(model, file, weights)

    def _missing(self) -> hub.HubSilentError:
        return hub.HubSilentError(
            f"{self.name} is not complete on this disk, and offline is set",
            hint="set offline to false to fetch it",
        )


def _weights(file: PypiFile) -> Weights:
    files = (WeightFile(names.checked_path(file.path), file.size_bytes, file.sha256),)
    return Weights(Source.PYPI, file.package, file.version, files, file.quant, file.size_bytes)


def _placed(found: Candidate, weights: Weights, *, location: Path | None = None) -> Candidate:
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
