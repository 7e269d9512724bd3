"""The file of targets of notifications: no error of it repeats a secret, and no shown URL."""

import random
from collections.abc import Iterator
from pathlib import Path

from daemon.notifications.redaction import WITH_HOST, masked, shown
from daemon.notifications.targets import KEYS, parsed
from domain.errors import ConfigError
from domain.events import EventKind
from tests.fuzz.mutation import line_mutation

ALLOWED = (ConfigError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 8192
SECRET = "s3cretT0ken"
VALUES = (
    '"8:00"',
    '"22:00-7:00"',
    '"0 8 * * *"',
    '"json://h:8080/x"',
    "[]",
    "1",
    "{a = 1}",
    f'"ntfys://{SECRET}"',
)
_mutate_lines = line_mutation((*KEYS, *VALUES, *EventKind))


def seeds() -> Iterator[bytes]:
    yield f"""[phone]
url = "ntfys://{SECRET}"
level = "error"
quiet = "weekdays 22:00-7:00"

[mail]
url = "mailtos://me:{SECRET}@example.org?to=x@example.org"
kinds = ["download_done", "ready"]
digest = "8:00"
""".encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_lines(data, rng)


def run(data: bytes) -> None:
    try:
        found = parsed(Path("/etc/node-daemon/notify.toml"), data)
    except ConfigError as error:
        _check(f"{error}{error.hint}")
        raise
    for target in found:
        if target.url.partition("://")[0].lower() not in WITH_HOST and SECRET not in target.name:
            _check(shown(target.url))
            _check(masked(f"failed: {target.url}", target.url))


def _check(told: str) -> None:
    if SECRET in told:
        raise AssertionError(told)
