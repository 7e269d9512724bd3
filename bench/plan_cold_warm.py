"""How long ``node-ctl plan owner/repo`` takes, process start included, against a hub on the loopback.

Six quants of Qwen3 30B-A3B with headers of their real size. Cold: the daemon runs and has never spoken to
the hub. Warm: it has read the headers before. Beside it what the same process costs without any question.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.data import catalogue
from tests.rigs import published
from tests.rigs.hub import Hub

COLD_RUNS = 3
WARM_RUNS = 10
REPO = "owner/Qwen3-30B-A3B-GGUF"
QUANTS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K_L", "Q8_0", "UD-Q8_K_XL")
BIN = Path(sys.executable).parent
PLAN = [str(BIN / "node-ctl"), "plan", REPO, "--on", "strix-halo-128gb"]


@dataclass(frozen=True)
class Run:
    seconds: float
    fetched_bytes: int
    requests: int


def main() -> None:
    with Hub() as hub:
        hub.add(REPO, published.quants(catalogue()["qwen3-30b-a3b"], QUANTS))
        cold, warm, version = [], [], []
        for _ in range(COLD_RUNS):
            with fresh_daemon(hub) as env:
                cold.append(timed(hub, PLAN, env))
                for _ in range(WARM_RUNS):
                    version.append(timed(hub, [PLAN[0], "--version"], env))
                    warm.append(timed(hub, PLAN, env))
    print(f"{'':<28}{'median':>10}{'slowest':>10}{'fetched':>12}{'requests':>10}")
    for name, runs in (("cold plan", cold), ("warm plan", warm), ("node-ctl --version", version)):
        print(told(name, runs))
    print(f"\nwarm plan / node-ctl --version: {middle(warm) / middle(version):.1f}")


def middle(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def told(name: str, runs: list[Run]) -> str:
    slowest = max(run.seconds for run in runs)
    fetched, requests = max(run.fetched_bytes for run in runs), max(run.requests for run in runs)
    return f"{name:<28}{middle(runs):>8.3f} s{slowest:>8.3f} s{fetched / 1024:>8.0f} KiB{requests:>10}"


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
        own = {
            key: value for key, value in os.environ.items() if not key.startswith(("NODE_DAEMON_", "XDG_"))
        }
        env = {**own, "HOME": home, "HF_ENDPOINT": hub.url, "NODE_DAEMON_SOCKET": f"{home}/node.sock"}
        with subprocess.Popen([BIN / "node-daemon"], env=env, stderr=subprocess.DEVNULL) as daemon:
            try:
                while not Path(env["NODE_DAEMON_SOCKET"]).exists():
                    time.sleep(0.05)
                subprocess.run([PLAN[0], "status"], env=env, stdout=subprocess.DEVNULL, check=True)
                time.sleep(1)  # the daemon's first look at the machine
                yield env
            finally:
                daemon.terminate()


if __name__ == "__main__":
    main()
