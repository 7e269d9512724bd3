"""Fuzzes one target in this process, guided by the coverage of our code: atheris."""

import hashlib
import os
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import atheris

from tests.conftest import ROOMS
from tests.fuzz import target as targets
from tests.fuzz.scratch import remove_all
from tests.fuzz.watch import Finding, Watch

BYTES_SHARE = 0.2  # of the mutations are libFuzzer's own, which know what our code compares with


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, until ``inputs`` or ``seconds``, imports included; 0 is no limit."""

    name: str
    seed: int
    inputs: int
    seconds: float
    folder: Path

    @property
    def found(self) -> Path:
        return self.folder / "findings" / self.name


def run(order: Order) -> None:
    """Never returns: exits with the status 1 where something was found."""
    began_s = time.monotonic()
    order.folder.mkdir(parents=True, exist_ok=True)
    os.dup2(os.open(order.folder / f"{order.name}.log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
    followed = [room for room in ROOMS if room not in targets.UNFOLLOWED.get(order.name, ())]
    with atheris.instrument_imports(include=followed, enable_loader_override=False):
        target = targets.load(order.name)
    working = _working_corpus(order, target)
    watch = Watch(target)
    watch.arm()
    seen: dict[str, str] = {}
    deadline_s = began_s + order.seconds if order.seconds else None

    def one(data: bytes) -> None:
        finding = watch.run(data)
        if finding is not None and finding.key not in seen:
            seen[finding.key] = finding.what
            _keep(order, finding, data)
        is_late = deadline_s is not None and watch.inputs % 16 == 0 and time.monotonic() > deadline_s
        if is_late or watch.inputs == order.inputs:
            _report(order, watch, seen, time.monotonic() - began_s)
            remove_all()
            os._exit(1 if seen else 0)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311  # repeatable, not secret
        if rng.random() < BYTES_SHARE:
            return atheris.Mutate(data, most)
        return target.mutate(data, rng)[:most]

    arguments = [
        sys.argv[0],
        f"-seed={order.seed}",
        f"-max_len={target.MAX_BYTES}",
        "-timeout=300",
        "-report_slow_units=300",
        f"-artifact_prefix={order.folder}/",
        "-verbosity=0",
    ]
    atheris.Setup([*arguments, str(working)], one, custom_mutator=mutate)
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


def _keep(order: Order, finding: Finding, data: bytes) -> None:
    order.found.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:8]
    path = order.found / f"{finding.key.partition(' ')[0].lower()}-{digest}"
    path.write_bytes(data)
    print(f"{order.name}: {finding.key}: {finding.what}\n    {path}", flush=True)


def _report(order: Order, watch: Watch, seen: dict[str, str], took_s: float) -> None:
    (order.folder / f"slowest-{order.name}").write_bytes(watch.worst_input)
    print(
        f"{order.name}: {watch.inputs} inputs in {took_s:.0f} s ({watch.inputs / took_s:.0f}/s), "
        f"{watch.refused} refused, {len(seen)} kinds of faults; worst {watch.worst_cpu_ms:.0f} ms of CPU, "
        f"{watch.worst_memory_mib:.0f} MiB; seed {order.seed}",
        flush=True,
    )
