"""Throughput of a download beside ``hf download`` of the same files from the same hub on the loopback.

Each is a process from its start to its end, the two take turns, and the best of each counts: what disturbs
this machine only makes them slower. Processor time is told for where even that is no calm figure. Both write
to RAM where there is /dev/shm: a disk that others use would be all that is measured. Ours also computes the
sha256, which the reference does not.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from catalog.download import process
from domain.download import DownloadPolicy
from domain.models.model import Source, WeightFile, Weights
from domain.units import MIB
from tests.rigs.hub import Hub, sha256

ROUNDS = 6
REPO = "bench/toy"
SETS = {
    "one file": {"toy-Q8_0.gguf": 256 * MIB},
    "four files": {f"toy-0000{part}-of-00004.gguf": 64 * MIB for part in range(1, 5)},
}
RAM = Path("/dev/shm")  # noqa: S108 - bytes for a moment
HF = Path(sys.executable).parent / "hf"


def by_us(weights: Weights, folder: Path) -> None:
    async def fetch() -> Weights | None:
        return [step async for step in process.fetch(weights, folder, DownloadPolicy())][-1].weights

    assert asyncio.run(fetch()) is not None, "it is not complete"


def by_hf(weights: Weights, folder: Path) -> None:
    names = [file.name for file in weights.files]
    command = [
        HF,
        "download",
        REPO,
        *names,
        "--revision",
        str(weights.revision),
        "--cache-dir",
        folder,
        "--quiet",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def taken(fetch: Callable[[Weights, Path], None], weights: Weights) -> tuple[float, float]:
    """Seconds from start to end, and seconds of processor time."""
    with tempfile.TemporaryDirectory(
        prefix="node-daemon-bench-", dir=RAM if RAM.is_dir() else None
    ) as folder:
        begin_s, begin_cpu_s = time.perf_counter(), cpu_s()
        fetch(weights, Path(folder))
        return time.perf_counter() - begin_s, cpu_s() - begin_cpu_s


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def serve(files: dict[str, int]) -> None:
    """The hub in a process of its own: its address, then silence until its input ends."""
    with Hub() as hub:
        data = {name: os.urandom(size_bytes) for name, size_bytes in files.items()}
        commit = hub.add(REPO, dict(data))
        print(hub.url, commit, *(sha256(content) for content in data.values()), flush=True)
        sys.stdin.read()


def main() -> None:
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for name, files in SETS.items():
        server = subprocess.Popen(
            [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdout
        url, commit, *digests = server.stdout.readline().split()
        os.environ["HF_ENDPOINT"] = url
        listed = tuple(
            WeightFile(file, size, digest)
            for (file, size), digest in zip(files.items(), digests, strict=True)
        )
        total = sum(files.values())
        weights = Weights(Source.HUB, REPO, commit, listed, "Q8_0", total)
        ways = (by_us, by_hf)
        runs: dict[Callable[[Weights, Path], None], list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way in ways:
                runs[way].append(taken(way, weights))
        ours, theirs = (total / min(wall_s for wall_s, _ in runs[way]) / 1e6 for way in ways)
        own_cpu_s, their_cpu_s = (min(used_s for _, used_s in runs[way]) for way in ways)
        print(
            f"{name}, {total // MIB} MiB: node-daemon {ours:.0f} MB/s, hf download {theirs:.0f} MB/s "
            f"({ours / theirs:.2f} of it); processor {own_cpu_s:.2f} s and {their_cpu_s:.2f} s",
            flush=True,
        )
        for who, way in zip(("node-daemon", "hf download"), ways, strict=True):
            print(f"  {who} took", *(f"{wall_s:.2f}" for wall_s, _ in runs[way]), "s", flush=True)
        server.communicate()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(SETS[sys.argv[1]])
    else:
        main()
