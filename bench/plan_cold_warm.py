"""How long ``node-ctl plan owner/repo`` takes, process start included, against a hub on the loopback.

Six quants of Qwen3 4B with headers of their real size. Cold: the daemon runs and has never spoken to the
hub. Warm: it has read the headers before. For another box the planner's word is the last; for this one its
engine is asked, too. Beside it what the same process costs without any question.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from config.data import catalogue
from domain.models.catalogue_types import KnownQuant
from tests.rigs import own_home, published
from tests.rigs.hub import Hollow, Hub

COLD_RUNS = 3
WARM_RUNS = 6
REPO = "owner/Qwen3-4B-GGUF"
SIZES_GB = {"Q3_K_M": 2.08, "Q4_K_M": 2.50, "Q5_K_M": 2.89, "Q6_K": 3.31, "Q8_0": 4.28, "BF16": 8.05}
BIN = Path(sys.executable).parent
REFERENCE = "node-ctl --version"
NODE_CTL = str(BIN / "node-ctl")
PLANS = {
    "for another box": [NODE_CTL, "plan", REPO, "--on", "strix-halo-128gb"],
    "for this one": [NODE_CTL, "plan", REPO],
}


@dataclass(frozen=True)
class Run:
    seconds: float
    fetched_bytes: int
    requests: int


def main() -> None:
    runs: dict[str, list[Run]] = {}
    with Hub() as hub:
        hub.add(REPO, repository())
        for name, argv in PLANS.items():
            cold, warm = runs.setdefault(f"cold, {name}", []), runs.setdefault(f"warm, {name}", [])
            for _ in range(COLD_RUNS):
                with fresh_daemon(hub) as env:
                    cold.append(timed(hub, argv, env))
                    warm += [timed(hub, argv, env) for _ in range(WARM_RUNS)]
                    runs.setdefault(REFERENCE, []).append(timed(hub, [NODE_CTL, "--version"], env))
    reference = middle(runs[REFERENCE])
    print(f"{'':<24}{'median':>10}{'slowest':>10}{'ratio':>8}{'fetched':>12}{'requests':>10}")
    for name, own in runs.items():
        print(told(name, own, reference))


def repository() -> dict[str, Hollow]:
    model = catalogue()["qwen3-4b"]
    sizes = {name: round(size_gb * 1e9) for name, size_gb in SIZES_GB.items()}
    model = replace(model, quants=tuple(KnownQuant(REPO, name, size) for name, size in sizes.items()))
    return published.quants(model, sizes)


def middle(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def told(name: str, runs: list[Run], reference_s: float) -> str:
    slowest = max(run.seconds for run in runs)
    fetched, requests = max(run.fetched_bytes for run in runs), max(run.requests for run in runs)
    times = f"{middle(runs):>8.3f} s{slowest:>8.3f} s{middle(runs) / reference_s:>8.1f}"
    return f"{name:<24}{times}{fetched / 1024:>8.0f} KiB{requests:>10}"


def timed(hub: Hub, argv: list[str], env: Mapping[str, str]) -> Run:
    hub.requests.clear()
    sent_bytes = hub.sent_bytes
    begun = time.perf_counter()
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
    return Run(time.perf_counter() - begun, hub.sent_bytes - sent_bytes, len(hub.requests))


@contextmanager
def fresh_daemon(hub: Hub) -> Iterator[Mapping[str, str]]:
    """A daemon with nothing on its disk; the environment of its clients."""
    with tempfile.TemporaryDirectory() as home:
        env = own_home.environment(Path(home), HF_ENDPOINT=hub.url, NODE_DAEMON_LISTEN="off")
        with subprocess.Popen([BIN / "node-daemon"], env=env, stderr=subprocess.DEVNULL) as daemon:
            try:
                while not Path(env["NODE_DAEMON_SOCKET"]).exists():
                    time.sleep(0.05)
                subprocess.run([NODE_CTL, "status"], env=env, stdout=subprocess.DEVNULL, check=True)
                time.sleep(1)  # the daemon's first look at the machine
                yield env
            finally:
                daemon.terminate()


if __name__ == "__main__":
    main()
