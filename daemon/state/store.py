"""The state of one daemon: a table per subject, domain values in and out.

Tables block: from the event loop they are called through ``Store.run``.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

from daemon.state.conversations import ConversationTable
from daemon.state.database import Database
from daemon.state.durability import recovery
from daemon.state.durability.copies import Copies
from daemon.state.durability.unreadable import Unreadable
from daemon.state.events import EventTable
from daemon.state.in_flight import InFlightTable
from daemon.state.keys import KeyTable
from daemon.state.launches import LaunchTable
from daemon.state.measurements import MeasurementTable
from daemon.state.models import ModelTable
from daemon.state.pulls import PullTable
from daemon.state.runs import RunTable
from daemon.state.unattended import NotificationTable, ScheduleTable
from domain.errors import ConfigError, StateError
from domain.events import EventKind

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    def __init__(self, path: Path) -> None:
        """Opens, recovers or creates the file, and migrates it. Blocks. Raises: ConfigError."""
        self.database = Database(path)
        self.copies = Copies(self.database)
        self.events = EventTable(self.database)
        unreadable = Unreadable(self.events)
        self.launches = LaunchTable(self.database, unreadable)
        self.runs = RunTable(self.database, unreadable)
        self.measurements = MeasurementTable(self.database)
        self.models = ModelTable(self.database)
        self.pulls = PullTable(self.database, unreadable)
        self.in_flight = InFlightTable(self.database)
        self.schedules = ScheduleTable(self.database, unreadable)
        self.notifications = NotificationTable(self.database, unreadable)
        self.keys = KeyTable(self.database, unreadable)
        self.conversations = ConversationTable(self.database, unreadable)
        if self.database.read_only_because is None:
            self._repair_launches()

    @property
    def path(self) -> Path:
        return self.database.path

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A method of one of the tables, off the event loop; calls keep their order."""
        return await self.database.run(function, *args, **kwargs)

    async def recall(self, kind: type[T], key: str) -> T | None:
        """The measurement ``key``, of any boot."""
        return await self.run(self.measurements.get, kind, key)

    async def recall_of_boot(self, kind: type[T], key: str, boot_id: str | None) -> T | None:
        """The measurement ``key`` if it was stored in that boot. ``None`` is an unknown boot: equal to
        itself, and different from all known ones."""
        stored = await self.run(self.measurements.get_with_boot, kind, key)
        return stored[0] if stored is not None and stored[1] == boot_id else None

    async def record(self, key: str, value: object, *, boot_id: str | None = None) -> None:
        """Stores a measurement. A failure is logged: the value is measured again later."""
        try:
            await self.run(self.measurements.put, key, value, boot_id=boot_id)
        except StateError as error:
            log.warning("measurement not stored: key=%s %s", key, error)

    def close(self) -> None:
        """Blocks."""
        self.database.close()

    def _repair_launches(self) -> None:
        """Takes launches whose rows can't be read from the newest whole copy."""
        try:
            names = self.launches.unreadable()
            copy = recovery.newest_whole(self.path) if names else None
            if copy is None:
                return
            with clone(copy) as before:
                for record in before.launches.all():
                    if record.request.name in names:
                        self.launches.save(record)
                        message = f"its record could not be read, and was taken from {copy}"
                        self.events.append(EventKind.REPAIRED, f"{record.request.name}: {message}")
        except (StateError, ConfigError, OSError) as error:
            log.warning("launches not repaired: %s", error)


@contextmanager
def clone(path: Path) -> Iterator[Store]:
    """The store of ``path`` as it would open, in a folder of its own: opening the file itself writes beside
    it. Blocks. Raises: OSError, ConfigError."""
    with TemporaryDirectory(prefix="node-daemon-state-") as folder:
        recovery.copy_to(path, Path(folder))
        with closing(Store(Path(folder, path.name))) as store:
            yield store
