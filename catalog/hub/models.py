"""Finds models on the hub; while it is not available, in cached listings and the catalogue's facts."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from catalog.formats.gguf import pieces
from catalog.formats.gguf.quants import kind_in_name
from catalog.formats.registry import read_models
from catalog.formats.safetensors import conversion, shards
from catalog.hub import client
from catalog.hub.cache import Cache
from catalog.hub.errors import UnavailableError
from catalog.hub.tree import HubTree
from catalog.request import FileSelection, ModelRequest
from catalog.resolved_models import model_of_catalogue
from catalog.synthetic import tensor_layouts
from domain.errors import BadModelError, DownloadError, UnknownModelError
from domain.launches.plan import LLAMA_CPP, VLLM
from domain.models.catalogue_types import KnownModel
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from domain.suggestions import near

log = logging.getLogger(__name__)
RepoError = DownloadError | BadModelError


@dataclass(frozen=True, slots=True)
class HubModels:
    """``request`` says which of a repository's files are of use."""

    request: ModelRequest
    cache: Cache | None

    @property
    def selection(self) -> FileSelection:
        return self.request.selection

    def find_repo(
        self, repo: str, revision: str | None, entry: KnownModel | None
    ) -> tuple[ResolvedModel, ...]:
        """``entry`` is the catalogue's, if it has the repository.
        Raises: DownloadError, BadModelError, NoSuchRepoError."""
        try:
            return self._read(self._list_files(repo, revision), entry)
        except UnavailableError:
            models = self._from_cache((repo,), revision) or self._from_facts(entry, (repo,))
            if not models:
                raise
            return models

    def find_model(self, entry: KnownModel) -> tuple[ResolvedModel, ...]:
        """Raises: DownloadError, BadModelError."""
        try:
            return self.ask_model(entry)
        except UnavailableError as error:
            log.info("no hub, falling back: model=%s why=%s", entry.alias, error)
            models = self._from_cache(entry.gguf_repos, None) or self._from_facts(entry, entry.gguf_repos)
            if not models:
                raise _with_reason(error, entry) from error
            return models

    def ask_model(self, entry: KnownModel) -> tuple[ResolvedModel, ...]:
        """Of the GGUF repositories the first that is usable; for vLLM, or if there are none, the first
        repository of each kind of weights. Raises: DownloadError, BadModelError."""
        if self.selection.engine == VLLM or (self.selection.engine is None and not entry.gguf_repos):
            return self._ask_kinds(entry)
        if not entry.gguf_repos:
            raise BadModelError(
                f"no GGUF files of {entry.alias} are known",
                hint=conversion.vllm_or_convert(entry.vllm_repos, self.request.name.text),
            )
        first_error: RepoError | None = None
        for repo in entry.gguf_repos:
            try:
                return self._read(self._list_files(repo, None), entry)
            except UnavailableError:
                raise
            except (DownloadError, BadModelError) as error:
                log.warning("repository is not usable: repo=%s why=%s", repo, error)
                first_error = first_error or error
        raise first_error or RuntimeError("no repository is named")

    def _ask_kinds(self, entry: KnownModel) -> tuple[ResolvedModel, ...]:
        """An unusable repository hides no other. Of those that are too large only the smallest is read."""
        kinds = _repos_by_kind(entry)
        try:
            with ThreadPoolExecutor(max(1, len(kinds))) as pool:
                answers = list(pool.map(self._first_listing, kinds))
            first_error = next((error for _, error in answers if error), None)
            models: list[ResolvedModel] = []
            for listing in self._not_too_large(listing for listing, _ in answers if listing):
                try:
                    models += self._read(listing, entry)
                except UnavailableError:
                    raise
                except (DownloadError, BadModelError) as error:
                    first_error = first_error or error
        except UnavailableError as error:
            log.info("no hub, falling back: model=%s why=%s", entry.alias, error)
            models = [model for repos in kinds for model in self._from_cache(repos, None)]
            if not models:
                raise
        if not models:
            raise first_error or BadModelError(
                f"no repository of {entry.alias} is known that {VLLM} could load"
            )
        return tuple(models)

    def _first_listing(self, repos: Iterable[str]) -> tuple[client.Listing | None, RepoError | None]:
        """Of the first repository that exists, and why an earlier one is not usable."""
        first_error: RepoError | None = None
        for repo in repos:
            try:
                return self._list_files(repo, None), first_error
            except UnavailableError:
                raise
            except (DownloadError, BadModelError) as error:
                log.warning("repository is not usable: repo=%s why=%s", repo, error)
                first_error = first_error or error
        return None, first_error

    def _not_too_large(self, listings: Iterable[client.Listing]) -> list[client.Listing]:
        sizes = [(shards.size_bytes(listing.files), listing) for listing in listings]
        most_bytes = self.selection.most_bytes
        least_bytes = min((size_bytes for size_bytes, _ in sizes), default=0)
        return [
            listing
            for size_bytes, listing in sizes
            if most_bytes is None or size_bytes <= max(most_bytes, least_bytes)
        ]

    def _list_files(self, repo: str, revision: str | None) -> client.Listing:
        if self.request.offline:
            raise offline_error(self.request.name.text)
        listing = client.list_files(repo, revision)
        if self.cache:
            self.cache.store_listing(listing, revision)
        return listing

    def _read(self, listing: client.Listing, entry: KnownModel | None) -> tuple[ResolvedModel, ...]:
        file, present = self.selection.file, [file.name for file in listing.files]
        if file is not None and file not in present:
            raise UnknownModelError(
                file, near=near(file, present), what=f"{listing.repo} has no file {file!r}"
            )
        models = read_models(HubTree(listing, self.cache), self.selection)
        if not models:
            raise self._no_model(listing.repo, frozenset(present), entry)
        return models

    def _no_model(self, repo: str, files: frozenset[str], entry: KnownModel | None) -> BadModelError:
        if self.selection.file:
            return BadModelError(
                f"{self.selection.file} of {repo} is not a model by itself",
                hint=f"{repo} names the models that it belongs to",
            )
        if cut := pieces.pieces_by_file(files):
            return pieces.cut_error(repo, cut)
        has_safetensors = any(name.endswith(".safetensors") for name in files)
        if has_safetensors and "adapter_config.json" in files:
            return BadModelError(
                f"{repo} holds no model: it is {Kind.ADAPTER.description}", hint=Kind.ADAPTER.hint
            )
        if error := self._not_for_this_engine(repo, files, entry):
            return error
        if any(name.endswith((".bin", ".pth", ".pt")) for name in files):
            return BadModelError(
                f"{repo} holds pickled weights only, which may run code when they are read",
                hint="look for it in another format: node-ctl search NAME",
            )
        return BadModelError(
            f"{repo} holds nothing that {self.selection.engine or 'an engine here'} can load",
            hint="name a repository with .gguf files, or one with safetensors for --engine vllm",
        )

    def _not_for_this_engine(
        self, repo: str, files: frozenset[str], entry: KnownModel | None
    ) -> BadModelError | None:
        engine, has_safetensors = self.selection.engine, any(name.endswith(".safetensors") for name in files)
        if has_safetensors and engine == LLAMA_CPP:
            return BadModelError(
                f"{repo} holds safetensors only, which {LLAMA_CPP} does not load",
                hint=conversion.alternatives(repo, entry, self.request.name.text),
            )
        if engine == VLLM and not has_safetensors and any(name.endswith(".gguf") for name in files):
            return BadModelError(
                f"{repo} holds GGUF files only, which {VLLM} does not load",
                hint=f"leave out --engine, or set it to {LLAMA_CPP}",
            )
        if has_safetensors and files.isdisjoint({"config.json", "params.json"}):
            return BadModelError(
                f"{repo} holds safetensors that nothing describes: it has no config.json",
                hint="name the repository that they come from",
            )
        return None

    def _from_cache(self, repos: Iterable[str], revision: str | None) -> tuple[ResolvedModel, ...]:
        """Of the first repository whose listing and headers are cached."""
        if self.cache is None:
            return ()
        for repo in repos:
            if cached := self.cache.listing(repo, revision):
                listing, listed_at = cached
                if models := read_models(HubTree(listing, self.cache, online=False), self.selection):
                    log.info("no hub, planning from the cache: repo=%s listed_at=%s", repo, listed_at)
                    return tuple(replace(model, as_of=listed_at) for model in models)
        return ()

    def cached_projector(self, repo: str) -> str | None:
        """The file of a repository's cached listing that is named a projector."""
        cached = self.cache.listing(repo, None) if self.cache else None
        files = cached[0].files if cached else ()
        return next((file.name for file in files if kind_in_name(file.name) is Kind.PROJECTOR), None)

    def _from_facts(self, entry: KnownModel | None, repos: Iterable[str]) -> tuple[ResolvedModel, ...]:
        if entry is None or not _has_facts(entry) or self.selection.file:
            return ()
        if self.selection.engine not in (None, LLAMA_CPP):
            return ()
        return tuple(
            model_of_catalogue(entry, quant)
            for quant in entry.quants
            if quant.repo in repos and self.selection.has_quant(quant.quant)
        )


def _has_facts(entry: KnownModel) -> bool:
    """Whether the tensors of its quants can be rebuilt without a header."""
    return bool(entry.shape) and entry.architecture in tensor_layouts.FAMILIES


def _with_reason(error: UnavailableError, entry: KnownModel) -> UnavailableError:
    """``error``, and why only the hub has what a plan of this model needs, where that is so."""
    if not _has_facts(entry):
        missing = "has too few facts of it"
    elif not entry.quants:
        missing = "does not know which files there are of it"
    else:
        return error
    why = f"{entry.alias} is planned from a header of the hub: the catalogue {missing}"
    return UnavailableError(
        str(error), hint=f"{error.hint}; {why}", reason=error.reason, retry_after_s=error.retry_after_s
    )


def _repos_by_kind(entry: KnownModel) -> list[list[str]]:
    kinds: dict[str, list[str]] = {}
    for row in entry.vllm:
        kinds.setdefault(row.kind, []).append(row.repo)
    return list(kinds.values())


def offline_error(name: str) -> UnavailableError:
    return UnavailableError(
        f"{name} is not complete on this disk, and offline is set", hint="set offline to false to fetch it"
    )
