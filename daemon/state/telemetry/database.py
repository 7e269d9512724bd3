"""The SQLite file of telemetry. Everything here blocks.

Buckets lie in the order of time: what is added and what is removed are a few pages each time.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.state.durability import opening, recovery
from daemon.state.durability.opening import DamagedError
from daemon.state.telemetry.buckets import RESOLUTIONS, Bucket, Key, Resolution, outdated
from domain.telemetry import Metric

VERSION = 1
PAGE_BYTES = 4096
MOST_PAGES = 11_000  # 45 MB: SQLite refuses more, whatever there is to store
FULL_PAGES = 10_000  # the oldest buckets go before that; eight GPUs and ten launches need 6,500
LOG_PAGES = 250  # of the log beside the file, before it is moved into the file
SHARE_REMOVED = 10
SCHEMA = f"""
BEGIN;
CREATE TABLE series (
    id INTEGER PRIMARY KEY, metric TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL,
    UNIQUE (metric, subject)
) STRICT;
CREATE TABLE buckets (
    step_s INTEGER NOT NULL, start_s INTEGER NOT NULL, series INTEGER NOT NULL, samples INTEGER NOT NULL,
    seconds INTEGER NOT NULL, total REAL NOT NULL, lowest REAL NOT NULL, highest REAL NOT NULL,
    PRIMARY KEY (step_s, start_s, series)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""
PROBES = (
    "SELECT id, metric, subject, name FROM series LIMIT 0",
    "SELECT step_s, start_s, series, samples, seconds, total, lowest, highest FROM buckets LIMIT 0",
)
ADD = """
INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET samples = samples + excluded.samples, seconds = seconds + excluded.seconds,
    total = total + excluded.total, lowest = min(lowest, excluded.lowest),
    highest = max(highest, excluded.highest)
"""
SELECT = """
SELECT metric, subject, name, (start_s - :since_s) / :step_s AS point, sum(samples) AS samples,
    sum(seconds) AS seconds, sum(total) AS total, min(lowest) AS lowest, max(highest) AS highest
FROM buckets JOIN series ON series.id = buckets.series
WHERE buckets.step_s = :resolution_s AND start_s >= :since_s AND start_s < :until_s
GROUP BY series.id, point ORDER BY series.id, point
"""
HOTTEST = """
SELECT subject, start_s, highest FROM buckets JOIN series ON series.id = buckets.series
WHERE metric = 'temperature' AND step_s = :resolution_s AND start_s >= :since_s AND start_s < :until_s
ORDER BY highest DESC, start_s DESC
"""


@dataclass(frozen=True, slots=True)
class Window:
    """``since_s`` is a multiple of the resolution."""

    since_s: int
    until_s: int
    step_s: int
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class Row:
    metric: str
    subject: str
    name: str
    point: int
    bucket: Bucket


class TelemetryDatabase:
    """One file, for the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Raises: DamagedError; sqlite3.Error, OSError of the disk."""
        if path.exists() and not path.is_file():
            raise DamagedError("it is not a regular file")
        self.path = path
        self._connection = sqlite3.connect(path, timeout=opening.BUSY_TIMEOUT_S)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            if opening.is_damage(error, path):
                raise DamagedError(str(error)) from error
            raise
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        db = self._connection
        db.row_factory = sqlite3.Row
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the last minutes, and not the file
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {LOG_PAGES * PAGE_BYTES}")
        db.execute(f"PRAGMA max_page_count = {MOST_PAGES}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            db.executescript(SCHEMA)
        elif version != VERSION:
            raise DamagedError(f"its schema version is {version}, this node-daemon reads {VERSION}")
        (result,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise DamagedError(str(result).replace("\n", " "))
        for probe in PROBES:
            db.execute(probe)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def add(self, buckets: Mapping[Key, Bucket], names: Mapping[str, str]) -> None:
        """All of them, or none. Raises: sqlite3.Error."""
        with self._connection as db:
            self._make_room()
            ids = self._series({(key.metric, key.subject) for key in buckets}, names)
            rows = [
                (
                    *(key.step_s, key.start_s, ids[key.metric, key.subject]),
                    *(one.samples, one.seconds, one.total, one.lowest, one.highest),
                )
                for key, one in sorted(buckets.items())
            ]
            db.executemany(ADD, rows)

    def thin(self, now_s: float) -> None:
        """Removes what is kept no longer. Raises: sqlite3.Error."""
        with self._connection as db:
            for resolution in RESOLUTIONS:
                query = "SELECT DISTINCT start_s FROM buckets WHERE step_s = ?"
                starts = [start for (start,) in db.execute(query, (resolution.step_s,))]
                gone = [(resolution.step_s, start) for start in outdated(starts, resolution, now_s)]
                db.executemany("DELETE FROM buckets WHERE step_s = ? AND start_s = ?", gone)
            db.execute("DELETE FROM series WHERE id NOT IN (SELECT DISTINCT series FROM buckets)")

    def rows(self, window: Window) -> list[Row]:
        """In the order of series and points. Raises: sqlite3.Error."""
        found = self._connection.execute(SELECT, _parameters(window))
        return [
            Row(
                *(row["metric"], row["subject"], row["name"], row["point"]),
                Bucket(row["samples"], row["seconds"], row["total"], row["lowest"], row["highest"]),
            )
            for row in found
        ]

    def hottest(self, window: Window, subjects: Collection[str]) -> tuple[str, int, float] | None:
        """Which of them, the start of the bucket, and the temperature. Raises: sqlite3.Error."""
        found = (tuple(row) for row in self._connection.execute(HOTTEST, _parameters(window)))
        return next((row for row in found if row[0] in subjects), None)

    def subjects(self) -> list[tuple[str, str, str]]:
        """Metric, subject and name of all series. Raises: sqlite3.Error."""
        return [tuple(row) for row in self._connection.execute("SELECT metric, subject, name FROM series")]

    def oldest_s(self) -> int | None:
        """When it was first recorded, as exactly as it is kept. Raises: sqlite3.Error."""
        query = "SELECT min(start_s) FROM buckets WHERE step_s = ?"
        *finer, coarsest = [
            self._connection.execute(query, (resolution.step_s,)).fetchone()[0] for resolution in RESOLUTIONS
        ]
        if coarsest is None:
            return None
        end_s = coarsest + RESOLUTIONS[-1].step_s
        return next((start_s for start_s in finer if start_s is not None and start_s < end_s), int(coarsest))

    def _series(
        self, wanted: Collection[tuple[Metric, str]], names: Mapping[str, str]
    ) -> dict[tuple[str, str], int]:
        """The ids of series, with those that are new."""
        query = """INSERT INTO series (metric, subject, name) VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET name = excluded.name WHERE name != excluded.name"""
        rows = [(metric, subject, names.get(subject, subject)) for metric, subject in sorted(wanted)]
        self._connection.executemany(query, rows)
        found = self._connection.execute("SELECT metric, subject, id FROM series")
        return {(metric, subject): number for metric, subject, number in found}

    def _make_room(self) -> None:
        """Removes the oldest tenth of each resolution as long as the file is nearly full."""
        while self._used_pages() > FULL_PAGES and self.oldest_s() is not None:
            for resolution in RESOLUTIONS:
                query = "SELECT DISTINCT start_s FROM buckets WHERE step_s = ? ORDER BY start_s"
                starts = [start for (start,) in self._connection.execute(query, (resolution.step_s,))]
                gone: Sequence[int] = starts[: len(starts) // SHARE_REMOVED + 1]
                self._connection.executemany(
                    "DELETE FROM buckets WHERE step_s = ? AND start_s = ?",
                    [(resolution.step_s, start) for start in gone],
                )

    def _used_pages(self) -> int:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages) - int(free)


def set_aside(path: Path) -> Path:
    """The damaged file under another name, in place of the one before. Raises: OSError."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    for file in recovery.sidecars(path):
        file.unlink(missing_ok=True)
    return aside


def _parameters(window: Window) -> dict[str, int]:
    return {
        "since_s": window.since_s,
        "until_s": window.until_s,
        "step_s": window.step_s,
        "resolution_s": window.resolution.step_s,
    }
