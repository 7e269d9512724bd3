"""What workers do with a catalogue that others published: functions of plain data."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from catalog.feed.fetch import WITHIN_S, fetch
from catalog.feed.signed_file import MAX_BYTES, opened
from config.catalogue import Published, parse_published
from daemon.isolation.workers import Limits
from domain.errors import CatalogueError
from domain.models.catalogue_types import KnownModel
from domain.units import MIB

READING = Limits(deadline_s=WITHIN_S + 15.0, cpu_s=20, at_once=1, memory_bytes=256 * MIB)


@dataclass(frozen=True, slots=True)
class Keys:
    """Of those whose catalogues are taken."""

    trusted: tuple[bytes, ...]

    def fetch(self, url: str, today: str) -> tuple[bytes, tuple[int, str, dict[str, KnownModel]]]:
        """The file, and what it says. ``today`` is an ISO date. Raises: DownloadError, CatalogueError."""
        data = fetch(url, max_bytes=MAX_BYTES)
        published = self._read(data, f"the catalogue at {urlsplit(url).netloc}")
        if published.expires is not None and published.expires < today:
            raise CatalogueError(
                f"the catalogue at {urlsplit(url).netloc} was valid until {published.expires}",
                hint="whoever publishes it has to renew it; if the clock here is wrong, set it",
            )
        return data, (published.version, published.date, published.models)

    def read_stored(self, path: Path) -> tuple[int, str, dict[str, KnownModel]]:
        """Raises: CatalogueError, OSError."""
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        published = self._read(data, f"the catalogue {path}")
        return published.version, published.date, published.models

    def _read(self, data: bytes, where: str) -> Published:
        try:
            return parse_published(opened(data, self.trusted))
        except CatalogueError as error:
            raise CatalogueError(f"{where} can't be used: {error}", hint=error.hint) from error
