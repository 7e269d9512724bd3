"""What a transfer of one file needs: its address, its place in the store, its lock, its size and digest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog.hub.files import FileLocation
from catalog.local import layout
from domain.models.model import Source, WeightFile, Weights


@dataclass(frozen=True, slots=True)
class Job:
    """Fetch ``source`` to ``final``. Until they are complete and verified, the bytes are in ``part``; only
    the holder of ``lock`` writes there. That is the hub client's own lock: its downloads respect it, too."""

    source: FileLocation | str
    part: Path
    final: Path
    lock: Path
    size_bytes: int | None = None
    sha256: str | None = None


def job_of(weights: Weights, file: WeightFile, models_dir: Path) -> Job | None:
    """None where no HTTP is spoken, and for weights that were planned without the hub, from the catalogue
    alone: there is no commit to fetch."""
    if weights.source is Source.HUB and weights.revision is not None:
        return _hub_job(weights.repo, weights.revision, file, models_dir)
    if weights.source is Source.URL:
        folder = layout.folder_of(weights, models_dir)
        return _url_job(_sibling(weights.repo, file.name), file, folder)
    return None


def _hub_job(repo: str, revision: str, file: WeightFile, models_dir: Path) -> Job:
    """To ``blobs/<digest>``. A file without a listed digest is named by its bytes once it is complete."""
    folder = layout.repo_folder(models_dir, repo)
    name = layout.blob_name(revision, file)
    blobs = folder / "blobs"
    return Job(
        FileLocation(repo, revision, file.name),
        part=blobs / f"{name}.incomplete",
        final=blobs / (name if file.sha256 else f"{name}.complete"),
        lock=models_dir / ".locks" / folder.name / f"{name}.lock",
        size_bytes=file.size_bytes,
        sha256=file.sha256,
    )


def _url_job(url: str, file: WeightFile, folder: Path) -> Job:
    name = hashlib.sha256(file.name.encode()).hexdigest()
    return Job(
        url,
        part=folder / f"{name}.incomplete",
        final=folder / file.name,
        lock=folder.parents[1] / ".locks" / f"url--{folder.name}" / f"{name}.lock",
        size_bytes=file.size_bytes,
        sha256=file.sha256,
    )


def _sibling(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{name}"))
