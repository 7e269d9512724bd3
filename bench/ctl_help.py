"""How long ``node-ctl --help`` takes beside ``python -c pass``: medians of interleaved runs, and ratios."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 30
NODE_CTL = Path(sys.executable).parent / "node-ctl"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "node-ctl --help": [str(NODE_CTL), "--help"],
    "node-ctl --version": [str(NODE_CTL), "--version"],
    "node-ctl ps, no daemon": [str(NODE_CTL), "--socket", "/nonexistent/d.sock", "ps"],
}


def seconds(argv: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begun


def main() -> None:
    for argv in COMMANDS.values():
        seconds(argv)  # warms the page cache
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, argv in COMMANDS.items():
            taken[name].append(seconds(argv))
    reference = statistics.median(taken["python -c pass"])
    print(f"{'command':<24}{'median':>10}{'slowest':>10}{'ratio':>8}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<24}{median * 1000:>7.1f} ms{max(values) * 1000:>7.1f} ms{median / reference:>8.1f}")


if __name__ == "__main__":
    main()
