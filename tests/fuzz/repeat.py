"""Fuzzes one target with inputs that follow from a seed alone: neither coverage, which any change of the code
changes, nor the machine decides which they are. What a change must pass is run so."""

import random
import time

from tests.fuzz import target as targets
from tests.fuzz.session import Order, Session

STEPS = (1, 1, 1, 2, 3, 5, 8)  # mutations of a seed, one after another


def run(order: Order) -> None:
    """Never returns: exits with the status 1 where something was found."""
    began_s = time.monotonic()
    target = targets.load(order.name)
    seeds = list(target.seeds())
    session = Session.start(order, target, began_s)
    for data in (*seeds, *(path.read_bytes() for path in targets.corpus(order.name))):
        session.run(data)
    rng = random.Random(f"{order.name} {order.seed}")  # noqa: S311  # repeatable, not secret
    while True:
        data = rng.choice(seeds)  # not of the corpus, to which each finding adds
        for _ in range(rng.choice(STEPS)):
            data = target.mutate(data, rng)[: target.MAX_BYTES]
            session.run(data)
