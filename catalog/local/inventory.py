"""What lies in the store: each quant of each repository, with its files and what they should come to.

Names are enough for a list: no header is read. A link that leads out of the store counts only where node-ctl
adopt made it, or where it leads to a cache that is known.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from catalog import names
from catalog.formats.gguf import quants
from catalog.formats.registry import complete_quants
from catalog.local import metadata
from catalog.local.tree import LocalTree
from domain.catalogue_types import KnownModel
from domain.errors import UnknownModelError
from domain.local_model import LocalModel, StoredFile
from domain.model import Source, WeightFile, Weights
from domain.redact import without_secrets

log = logging.getLogger(__name__)
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_FOLDER = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")


def name_of(weights: Weights) -> str:
    """What these weights are called in lists: ``owner/repo:Q4_K_M``, without a quant for safetensors."""
    repo = without_secrets(weights.repo)
    first = weights.files[0].name if weights.files else ""
    return f"{repo}:{quants.quant_of(first)}" if first.endswith(".gguf") else repo


def stored(models_dir: Path, places: Sequence[Path] = ()) -> tuple[LocalModel, ...]:
    """Everything complete in ``models_dir``, then what is only in ``places``. Blocks."""
    known = (models_dir, *places)
    found: dict[tuple[str, str | None], LocalModel] = {}
    for one in (*_hub(models_dir, known), *_plain(models_dir)):
        found.setdefault((one.name, one.revision), one)
    for place in places:
        for one in _hub(place, known, other_tool=True):
            found.setdefault((one.name, one.revision), one)
    return tuple(sorted(found.values(), key=lambda one: one.name.lower()))


def named(
    model: str, found: Sequence[LocalModel], catalogue: Mapping[str, KnownModel]
) -> tuple[LocalModel, ...]:
    """One quant, or all of a repository, or of what an alias stands for. Raises: UnknownModelError, with
    what is here and so like ``model`` that it may be meant."""
    wanted = _called(model, catalogue)
    chosen = tuple(one for one in found if {one.name.lower(), one.repo.lower()} & wanted)
    if not chosen:
        repos = {one.repo for one in found}
        aliases = (alias for alias, known in catalogue.items() if repos.intersection(known.origins))
        here = (*aliases, *(name for one in found for name in (one.name, one.repo)))
        error = UnknownModelError(model, near=names.similar(model, here), what=f"{model} is not on this disk")
        error.hint = error.hint if error.near else "node-ctl models lists what is"
        raise error
    return chosen


def _called(model: str, catalogue: Mapping[str, KnownModel]) -> set[str]:
    """The names of lists, in small letters, that ``model`` stands for: its own, and those behind an alias."""
    alias, colon, quant = model.lower().partition(":")
    known = next((one for name, one in catalogue.items() if name.lower() == alias), None)
    origins = known.origins if known else ()
    return {model.lower(), *(f"{repo.lower()}{colon}{quant}" for repo in origins)}


def _hub(root: Path, known: Sequence[Path], *, other_tool: bool = False) -> Iterator[LocalModel]:
    for folder in _folders(root):
        match = _FOLDER.fullmatch(folder.name)
        for snapshot in _folders(folder / "snapshots") if match else ():
            repo = f"{match['owner']}/{match['name']}" if match else ""
            yield from _of_snapshot(repo, snapshot, known, other_tool=other_tool)


def _of_snapshot(
    repo: str, snapshot: Path, known: Sequence[Path], *, other_tool: bool
) -> Iterator[LocalModel]:
    files = tuple(file for file in metadata.files_below(snapshot) if _is_ours(snapshot, file, known))
    for quant in complete_quants(LocalTree(snapshot, files, missing=metadata.lacking(snapshot))):
        yield _one(Source.HUB, repo, snapshot, quant.files, other_tool=other_tool)


def _plain(models_dir: Path) -> Iterator[LocalModel]:
    """Files out of wheels and from plain addresses."""
    for folder in _folders(models_dir / "pypi"):
        package, _, version = folder.name.rpartition("-")
        if files := tuple(_below(folder, "**/*.gguf")):
            yield _one(Source.PYPI, package, folder, files, revision=version)
    for folder in _folders(models_dir / "url"):
        for quant in quants.group_files(_below(folder, "*.gguf")).quants:
            yield _one(Source.URL, f"url/{folder.name}", folder, quant.files, revision=None)


def _below(folder: Path, pattern: str) -> Iterator[WeightFile]:
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            yield WeightFile(str(path.relative_to(folder)), path.stat().st_size)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        log.debug("not listed: folder=%s why=%s", folder, error)


def _one(
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
        files=tuple(_file(path, folder) for path in paths),
        fetched_at=datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC).isoformat(),
        other_tool=other_tool,
        linked=any(not path.resolve().is_relative_to(folder.parents[1].resolve()) for path in paths),
    )


def _file(path: Path, folder: Path) -> StoredFile:
    real = path.resolve()
    digest = real.name.removeprefix("sha256-")  # Ollama's way to name the same
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


def _is_ours(snapshot: Path, file: WeightFile, known: Sequence[Path]) -> bool:
    if (path := metadata.led_out(snapshot, (file,), known)) is None:
        return True
    log.warning("link leads out of the store: path=%s to=%s", path, path.resolve())
    return False
