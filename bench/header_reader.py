"""Our header reader beside the ``gguf`` package's, on a header with 200 000 tokens and 450 000 merges.

Each reader runs in a process of its own: its time, and how much memory it took beyond its imports.
"""

import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gguf import GGUFReader

from catalog.formats.gguf.reader import read_file
from domain.units import MIB

TOKENS = 200_000
MERGES = 450_000
TENSORS = 579  # as many as Qwen3 30B-A3B has
TEXT, ARRAY, UINT32, INT32 = 8, 9, 4, 5  # GGUF's value types
OUR_RUNS = 9


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "header.gguf"
        path.write_bytes(header())
        print(f"a header of {path.stat().st_size / MIB:.1f} MiB")
        found = {name: in_a_child(name, path) for name in READERS}
    print(f"{'':<16}{'best':>11}{'median':>11}{'memory':>12}")
    for name, (best_s, median_s, memory_bytes) in found.items():
        print(f"{name:<16}{best_s:>9.3f} s{median_s:>9.3f} s{memory_bytes / MIB:>8.1f} MiB")
    ours, theirs = found["ours"], found["gguf package"]
    print(f"ours is {theirs[1] / ours[1]:.0f} times as fast, in 1/{theirs[2] / ours[2]:.0f} of the memory")


def in_a_child(name: str, path: Path) -> tuple[float, float, float]:
    command = [sys.executable, __file__, name, str(path)]
    best_s, median_s, memory_bytes = json.loads(subprocess.check_output(command))
    return best_s, median_s, memory_bytes


READERS: dict[str, tuple[Callable[[Path], object], int]] = {
    "ours": (read_file, OUR_RUNS),
    "gguf package": (GGUFReader, 1),
}


def measure(name: str, path: Path) -> None:
    read, runs = READERS[name]
    before_kib = status_kib("VmRSS")
    took_s = []
    for _ in range(runs):
        begun = time.perf_counter()
        read(path)
        took_s.append(time.perf_counter() - begun)
    memory_bytes = (status_kib("VmHWM") - before_kib) * 1024
    print(json.dumps([min(took_s), sorted(took_s)[runs // 2], memory_bytes]))


def status_kib(name: str) -> int:
    """Of this process. VmHWM is its largest size so far: proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def header() -> bytes:
    """Written by hand: the package's writer would take longer than all else here."""
    keys = [
        key("general.architecture", TEXT, text("llama")),
        key("tokenizer.ggml.tokens", ARRAY, texts(f"token{number}" for number in range(TOKENS))),
        key("tokenizer.ggml.token_type", ARRAY, struct.pack(f"<IQ{TOKENS}i", INT32, TOKENS, *[1] * TOKENS)),
        key("tokenizer.ggml.merges", ARRAY, texts(f"tok en{number}" for number in range(MERGES))),
        key("llama.block_count", UINT32, struct.pack("<I", 48)),
    ]
    table = [
        text(f"blk.{number}.ffn_up.weight") + struct.pack("<IQQIQ", 2, 32, 1, 0, 128 * number)
        for number in range(TENSORS)
    ]
    start = struct.pack("<4sIQQ", b"GGUF", 3, TENSORS, len(keys))
    data = b"".join((start, *keys, *table))
    return data + bytes(-len(data) % 32 + 128 * TENSORS)


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def texts(values: Iterable[str]) -> bytes:
    items = [text(value) for value in values]
    return struct.pack("<IQ", TEXT, len(items)) + b"".join(items)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
