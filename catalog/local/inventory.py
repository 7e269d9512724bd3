"""Lists the models in the store: each quant of each repository, with its files and their expected digests.

Names are enough for a list: no header is read. A link that leads out of the store counts only if node-ctl
adopt made it, or if it leads to a folder of another tool that the settings name.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from catalog import names
from catalog.formats.gguf import quants
from catalog.formats.gguf.grouping import group_files
from catalog.formats.registry import complete_quants
from catalog.local import layout
from catalog.local.tree import LocalTree
from domain.anonymize import without_secrets
from domain.errors import UnknownModelError
from domain.models.catalogue_types import KnownModel
from domain.models.local_model import LocalModel, StoredFile
from domain.models.model import Source, WeightFile, Weights
from domain.suggestions import near

log = logging.getLogger(__name__)
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_FOLDER = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")


def name_of(weights: Weights) -> str:
    """The name of these weights in lists: ``owner/repo:Q4_K_M``, without a quant for safetensors."""
    repo = without_secrets(weights.repo)
    first = weights.files[0].name if weights.files else ""
    return f"{repo}:{quants.quant_of(first)}" if first.endswith(".gguf") else repo


def list_models(models_dir: Path, places: Sequence[Path] = ()) -> tuple[LocalModel, ...]:
    """Every complete model in ``models_dir``, then those that are only in ``places``. Blocks."""
    roots = (models_dir, *places)
    models = [*_from_hub(models_dir, roots), *_from_wheels(models_dir), *_from_urls(models_dir)]
    for place in places:
        models += _from_hub(place, roots, other_tool=True)
    first: dict[tuple[str, str | None], LocalModel] = {}
    for model in models:
        first.setdefault((model.name, model.revision), model)
    return tuple(sorted(first.values(), key=lambda model: model.name.lower()))


def select(
    name: str, models: Sequence[LocalModel], catalogue: Mapping[str, KnownModel]
) -> tuple[LocalModel, ...]:
    """One quant, or all of a repository, or all that an alias stands for. Raises: UnknownModelError, with
    similar names among ``models``."""
    synonyms = _synonyms(name, catalogue)
    selected = tuple(model for model in models if {model.name.lower(), model.repo.lower()} & synonyms)
    if not selected:
        repo, _, quant = name.rpartition(":")
        siblings = {
            model.quant: model.size_bytes
            for model in models
            if model.repo.lower() in _synonyms(repo, catalogue)
        }
        if quant and siblings:
            raise names.unknown_quant(f"{repo} on this disk", quant, siblings)
        repos = {model.repo for model in models}
        aliases = (alias for alias, entry in catalogue.items() if repos.intersection(entry.origins))
        choices = (*aliases, *(choice for model in models for choice in (model.name, model.repo)))
        error = UnknownModelError(name, near=near(name, choices), what=f"{name} is not on this disk")
        error.hint = error.hint if error.near else "node-ctl models lists what is"
        raise error
    return selected


def _synonyms(name: str, catalogue: Mapping[str, KnownModel]) -> set[str]:
    """The names in lists, in lower case, that ``name`` stands for: itself, and those behind an alias."""
    alias, colon, quant = name.lower().partition(":")
    model = next((entry for key, entry in catalogue.items() if key.lower() == alias), None)
    origins = model.origins if model else ()
    return {name.lower(), *(f"{origin.lower()}{colon}{quant}" for origin in origins)}


def _from_hub(root: Path, roots: Sequence[Path], *, other_tool: bool = False) -> Iterator[LocalModel]:
    for folder in _folders(root):
        match = _FOLDER.fullmatch(folder.name)
        for snapshot in _folders(folder / "snapshots") if match else ():
            repo = f"{match['owner']}/{match['name']}" if match else ""
            files = tuple(file for file in layout.files_below(snapshot) if _is_ours(snapshot, file, roots))
            missing = layout.missing_files(snapshot)
            for quant in complete_quants(LocalTree(snapshot, files, missing=missing)):
                yield _local_model(Source.HUB, repo, snapshot, quant.files, other_tool=other_tool)


def _from_wheels(models_dir: Path) -> Iterator[LocalModel]:
    for folder in _folders(models_dir / "pypi"):
        package, _, version = folder.name.rpartition("-")
        if files := tuple(_own_files(folder, "**/*.gguf")):
            yield _local_model(Source.PYPI, package, folder, files, revision=version)


def _from_urls(models_dir: Path) -> Iterator[LocalModel]:
    for folder in _folders(models_dir / "url"):
        for quant in group_files(_own_files(folder, "*.gguf")).quants:
            yield _local_model(Source.URL, f"url/{folder.name}", folder, quant.files, revision=None)


def _own_files(folder: Path, pattern: str) -> Iterator[WeightFile]:
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            yield WeightFile(str(path.relative_to(folder)), path.stat().st_size)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        log.debug("not listed: folder=%s why=%s", folder, error)


def _local_model(
    source: Source,
    repo: str,
    folder: Path,
    files: tuple[WeightFile, ...],
    *,
    revision: str | None = "",
    other_tool: bool = False,
) -> LocalModel:
    quant = quants.quant_of(files[0].name) if files[0].name.endswith(".gguf") else ""
    paths = [folder / file.name for file in files]
    return LocalModel(
        name=f"{repo}:{quant}" if quant else repo,
        source=source,
        repo=repo,
        revision=folder.name if revision == "" else revision,
        quant=quant,
        location=str(folder),
        files=tuple(_stored_file(path, folder) for path in paths),
        fetched_at=datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC).isoformat(),
        other_tool=other_tool,
        linked=any(not path.resolve().is_relative_to(folder.parents[1].resolve()) for path in paths),
    )


def _stored_file(path: Path, folder: Path) -> StoredFile:
    real = path.resolve()
    digest = real.name.removeprefix("sha256-")  # Ollama's prefix
    if path.is_symlink() and path.readlink().parent.name == "blobs":
        digest = path.readlink().name.removeprefix("sha256-")
    return StoredFile(
        name=str(path.relative_to(folder)),
        path=str(path),
        real_path=str(real),
        size_bytes=real.stat().st_size,
        sha256=digest if _SHA256.fullmatch(digest) else None,
        git_sha1=digest if _SHA1.fullmatch(digest) else None,
    )


def _is_ours(snapshot: Path, file: WeightFile, roots: Sequence[Path]) -> bool:
    if (path := layout.find_outside_link(snapshot, (file,), roots)) is None:
        return True
    log.warning("link leads out of the store: path=%s to=%s", path, path.resolve())
    return False
