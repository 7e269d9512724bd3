"""What tests of downloads share: files of a repository, and what a fetch of them came to."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from catalog.download.throttle import Throttle, minute_now
from domain.download import DownloadPolicy, DownloadProgress
from domain.models.model import Source, WeightFile, Weights
from domain.units import MIB
from tests.rigs.hub import LARGE_BYTES, File, Hub, sha256

BIG = os.urandom(3 * MIB + 17)
SMALL = b'{"model_type": "llama"}'


class Gate(Throttle):
    """Lets ``first_bytes`` and the piece after them pass, and nothing more before ``open``: a download stays
    in its middle for as long as a test needs."""

    def __init__(
        self,
        first_bytes: int = 0,
        policy: DownloadPolicy | None = None,
        *,
        minute: Callable[[], int] = minute_now,
    ) -> None:
        super().__init__(policy or DownloadPolicy(), minute=minute)
        self.passed_bytes = 0
        self._first_bytes = first_bytes
        self._count = threading.Lock()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def consume(self, count_bytes: int) -> None:
        with self._count:
            self.passed_bytes += count_bytes
        while self.passed_bytes > self._first_bytes and not self._opened.is_set():
            self.wait(0.01)  # ends where the download is stopped
        super().consume(count_bytes)


def weights(hub: Hub, files: dict[str, File] | None = None, *, repo: str = "o/r") -> Weights:
    """Published on the hub, and as its listing tells of them."""
    files = files or {"a.gguf": BIG, "config.json": SMALL}
    commit = hub.add(repo, files)
    listed = tuple(
        WeightFile(name, len(data), sha256(data) if len(data) >= LARGE_BYTES else None)
        for name, data in files.items()
    )
    return Weights(Source.HUB, repo, commit, listed, "Q8_0", sum(map(len, files.values())))


def plain(hub: Hub, data: bytes = BIG) -> Weights:
    """A file at an address, of which no digest is known."""
    hub.add("o/r", {"a.gguf": data})
    url = f"{hub.url}/o/r/resolve/main/a.gguf"
    return Weights(Source.URL, url, None, (WeightFile("a.gguf", len(data)),), "", len(data))


def last(steps: Iterable[DownloadProgress]) -> Weights:
    done = list(steps)[-1]
    assert done.weights is not None
    assert done.bytes_done == done.bytes_total
    return done.weights


def content(done: Weights) -> bytes:
    assert done.first_path is not None
    return Path(done.first_path).read_bytes()


def close(steps: Iterator[DownloadProgress]) -> None:
    steps.close()  # type: ignore[attr-defined]  # a generator, behind its interface


def parts(models_dir: Path) -> list[Path]:
    return list(models_dir.rglob("*.incomplete"))


def blob(models_dir: Path, data: File) -> Path:
    return models_dir / "models--o--r" / "blobs" / sha256(data)
