"""What the hub has of a repository or a model; and where it does not answer, what it said before or what
the catalogue knows."""

import dataclasses
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from catalog import names
from catalog import resolved_models as of
from catalog.formats.safetensors import conversion, shards
from catalog.hub import client
from catalog.hub.cache import Cache
from catalog.hub.errors import UnavailableError
from catalog.request import FileSelection, ModelRequest
from domain.catalogue_types import KnownModel, KnownQuant, VllmRepo
from domain.errors import BadModelError, DownloadError, UnknownModelError
from domain.model import ResolvedModel
from domain.plan import LLAMA_CPP, VLLM

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class HubModels:
    """The models of the hub's repositories that are of use for ``request``."""

    request: ModelRequest
    cache: Cache | None

    @property
    def name(self) -> str:
        return self.request.name.text

    @property
    def selection(self) -> FileSelection:
        return self.request.selection

    def of_repo(self, repo: str, revision: str | None, model: KnownModel | None) -> tuple[ResolvedModel, ...]:
        """Raises: DownloadError, BadModelError; ``NoSuchRepoError`` where there is none."""
        try:
            return self._on_hub(repo, revision, model)
        except UnavailableError:
            if seen := self._as_seen((repo,), revision):
                return seen
            facts = [quant for quant in model.quants if quant.repo == repo] if model else []
            if model and (found := self._from_facts(model, facts)):
                return found
            raise

    def of_model(self, model: KnownModel) -> tuple[ResolvedModel, ...]:
        """As ``ask``; where the hub does not answer, what it said before, or the catalogue's facts."""
        try:
            return self.ask(model)
        except UnavailableError as error:
            log.info("no hub, falling back: model=%s why=%s", model.alias, error)
            if seen := self._as_seen(model.gguf_repos, None):
                return seen
            quants = [quant for quant in model.quants if quant.repo in model.gguf_repos]
            if model.shape and (found := self._from_facts(model, quants)):
                return found
            raise

    def ask(self, model: KnownModel) -> tuple[ResolvedModel, ...]:
        """Of the GGUF repositories the first that can be used; for vLLM, or where there are none, the first
        of each kind of weights. Raises: DownloadError, BadModelError."""
        if self.selection.engine == VLLM or (self.selection.engine is None and not model.gguf_repos):
            return self._of_kinds(model)
        if not model.gguf_repos:
            raise BadModelError(
                f"no GGUF files of {model.alias} are known",
                hint=conversion.of_model(model.vllm_repos, self.name),
            )
        return self._first(model.gguf_repos, model)

    def _of_kinds(self, model: KnownModel) -> tuple[ResolvedModel, ...]:
        """One that cannot be used hides no other. Of those that cannot fit only the smallest is read."""
        kinds = _by_kind(model.vllm)
        try:
            with ThreadPoolExecutor(max(1, len(kinds))) as pool:
                answers = list(pool.map(self._first_listing, kinds))
            problem = next((why for _, why in answers if why), None)
            found: list[ResolvedModel] = []
            for listing in self._worth_reading(one for one, _ in answers if one):
                try:
                    found += self._read(listing, model)
                except UnavailableError:
                    raise
                except (DownloadError, BadModelError) as error:
                    problem = problem or error
        except UnavailableError as error:
            log.info("no hub, falling back: model=%s why=%s", model.alias, error)
            if not (seen := [one for rows in kinds for one in self._as_seen(rows, None)]):
                raise
            return tuple(seen)
        if not found:
            raise problem or BadModelError(f"no repository of {model.alias} is known that vLLM could load")
        return tuple(found)

    def _first_listing(
        self, repos: Iterable[str]
    ) -> tuple[client.Listing | None, DownloadError | BadModelError | None]:
        """The first that there is, and why an earlier one is none."""
        problem: DownloadError | BadModelError | None = None
        for repo in repos:
            try:
                return self._listing(repo, None), problem
            except UnavailableError:
                raise
            except (DownloadError, BadModelError) as error:
                log.warning("repository is not usable: repo=%s why=%s", repo, error)
                problem = problem or error
        return None, problem

    def _worth_reading(self, listings: Iterable[client.Listing]) -> list[client.Listing]:
        sized = [(shards.size_bytes(listing.files), listing) for listing in listings]
        most_bytes = self.selection.most_bytes
        least_bytes = min((size_bytes for size_bytes, _ in sized), default=0)
        return [
            listing
            for size_bytes, listing in sized
            if most_bytes is None or size_bytes <= max(most_bytes, least_bytes)
        ]

    def _first(self, repos: Iterable[str], model: KnownModel) -> tuple[ResolvedModel, ...]:
        problem: DownloadError | BadModelError | None = None
        for repo in repos:
            try:
                return self._on_hub(repo, None, model)
            except UnavailableError:
                raise
            except (DownloadError, BadModelError) as error:
                log.warning("repository is not usable: repo=%s why=%s", repo, error)
                problem = problem or error
        raise problem or RuntimeError("no repository is named")

    def _on_hub(self, repo: str, revision: str | None, model: KnownModel | None) -> tuple[ResolvedModel, ...]:
        return self._read(self._listing(repo, revision), model)

    def _listing(self, repo: str, revision: str | None) -> client.Listing:
        if self.request.offline:
            raise offline_error(self.name)
        listing = client.list_files(repo, revision)
        if self.cache:
            self.cache.keep_listing(listing, revision)
        return listing

    def _read(self, listing: client.Listing, model: KnownModel | None) -> tuple[ResolvedModel, ...]:
        self._check_file(listing)
        found = of.of_listing(listing, self.selection, cache=self.cache)
        if not found:
            raise self._nothing(listing, model)
        return found

    def _check_file(self, listing: client.Listing) -> None:
        file = self.selection.file
        there = [one.name for one in listing.files]
        if file is not None and file not in there:
            near = names.nearest(file, there)
            raise UnknownModelError(file, near=near, what=f"{listing.repo} has no file {file!r}")

    def _nothing(self, listing: client.Listing, model: KnownModel | None) -> BadModelError:
        if self.selection.file:
            return BadModelError(
                f"{self.selection.file} of {listing.repo} is no model by itself",
                hint=f"{listing.repo} names the models that it belongs to",
            )
        names_there = {file.name for file in listing.files}
        tensors = any(name.endswith(".safetensors") for name in names_there)
        if tensors and "adapter_config.json" in names_there:
            what = f"{listing.repo} holds an adapter, which changes a model and is none"
            return BadModelError(what, hint="name the model that it was made for")
        if tensors and self.selection.engine == LLAMA_CPP:
            return BadModelError(
                f"{listing.repo} holds safetensors only, which {LLAMA_CPP} does not load",
                hint=conversion.ways_on(listing.repo, model, self.name),
            )
        if any(name.endswith((".bin", ".pth", ".pt")) for name in names_there):
            what = f"{listing.repo} holds pickled weights only, which may run code when they are read"
            return BadModelError(what, hint="look for it in another format: node-ctl search NAME")
        return BadModelError(
            f"{listing.repo} holds nothing that {self.selection.engine or 'an engine here'} can load",
            hint="name a repository with .gguf files, or one with safetensors for --engine vllm",
        )

    def _as_seen(self, repos: Iterable[str], revision: str | None) -> tuple[ResolvedModel, ...]:
        """What the hub said when it was last asked: of the first repository that was looked at."""
        for repo in repos if self.cache else ():
            if self.cache and (seen := self.cache.listing(repo, revision)):
                listing, at = seen
                if found := of.as_seen(listing, self.selection, cache=self.cache, at=at):
                    log.info("no hub, planning from what was seen: repo=%s at=%s", repo, at)
                    return found
        return ()

    def _from_facts(self, model: KnownModel, quants: Iterable[KnownQuant]) -> tuple[ResolvedModel, ...]:
        wanted = [quant for quant in quants if self.selection.has_quant(quant.quant)]
        if self.selection.engine not in (None, LLAMA_CPP) or self.selection.file:
            return ()
        return tuple(of.of_catalogue(model, quant) for quant in wanted)


def _by_kind(rows: Iterable[VllmRepo]) -> list[list[str]]:
    kinds: dict[str, list[str]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row.repo)
    return list(kinds.values())


def offline_error(name: str) -> UnavailableError:
    return UnavailableError(
        f"{name} is not complete on this disk, and offline is set", hint="set offline to false to fetch it"
    )
