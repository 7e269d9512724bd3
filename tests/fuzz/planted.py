"""A target with a fault of each kind, to see that the watch notices them."""

import random
import time
from collections.abc import Iterator

from domain.errors import NodeError, UsageError

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 150, 32, 16
KEPT: list[bytes] = []


def seeds() -> Iterator[bytes]:
    yield from (b"fine", b"told", b"raise", b"slow", b"memory", b"endless")


def mutate(data: bytes, rng: random.Random) -> bytes:
    del rng
    return data


def run(data: bytes) -> None:
    fault = data.decode()
    if fault == "told":
        raise UsageError("this is what an owner reads")
    if fault == "raise":
        raise KeyError(fault)
    if fault == "slow":
        end_s = time.process_time() + 2 * CPU_LIMIT_MS / 1e3
        while time.process_time() < end_s:
            pass
    if fault == "memory":
        KEPT.append(b"x" * (64 << 20))
    if fault == "endless":
        while True:
            pass
