"""How long one look at this machine takes, and how many files it reads, beside reading those files alone."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from config.data import known_gpus
from probes.snapshot import probe

RUNS = 20


def main() -> None:
    known = known_gpus()
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    with tempfile.TemporaryDirectory() as models:

        def look() -> object:
            return probe(root=Path("/"), models_dir=Path(models), known_gpus=known)

        first_s = seconds(look)
        opened.clear()
        look_s = statistics.median(seconds(look) for _ in range(RUNS))
    files = opened[: len(opened) // RUNS]
    read_s = statistics.median(seconds(lambda: [read(file) for file in files]) for _ in range(RUNS))
    print(f"{'first look':<28}{first_s * 1000:>8.1f} ms")
    print(f"{'look':<28}{look_s * 1000:>8.1f} ms")
    print(f"{f'its {len(files)} files alone':<28}{read_s * 1000:>8.1f} ms")
    print(f"look / its files: {look_s / read_s:.1f}")


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1 << 20)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
