"""Fuzzes one target in this process, guided by the coverage of our code: atheris."""

import random
import shutil
import sys
import time
from pathlib import Path

import atheris

from tests.conftest import ROOMS
from tests.fuzz import target as targets
from tests.fuzz.session import Order, Session

BYTES_SHARE = 0.2  # of the mutations are libFuzzer's own, which know what our code compares with


def run(order: Order) -> None:
    """Never returns: exits with the status 1 where something was found."""
    began_s = time.monotonic()
    followed = [room for room in ROOMS if room not in targets.UNFOLLOWED.get(order.name, ())]
    with atheris.instrument_imports(include=followed, enable_loader_override=False):
        target = targets.load(order.name)
    working = _working_corpus(order, target)
    session = Session.start(order, target, began_s)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311  # no secret
        if rng.random() < BYTES_SHARE:
            return atheris.Mutate(data, most)
        return target.mutate(data, rng)[:most]

    arguments = [
        sys.argv[0],
        f"-max_len={target.MAX_BYTES}",
        "-timeout=300",
        "-report_slow_units=300",
        f"-artifact_prefix={order.folder}/",
        "-verbosity=0",
    ]
    atheris.Setup([*arguments, str(working)], session.run, custom_mutator=mutate)
    atheris.Fuzz()


def _working_corpus(order: Order, target: targets.Target) -> Path:
    """A copy of the kept inputs with the seeds; the fuzzer adds what reaches new code."""
    working = order.folder / "corpus" / order.name
    working.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (working / f"seed-{number:03d}").write_bytes(data)
    for path in targets.corpus(order.name):
        shutil.copy(path, working)
    return working
