"""Memory and idle CPU of a daemon before and after API calls, launches and hostile headers.

``python bench/daemon_memory.py [CALLS [LAUNCHES [HEADERS]]]``: 10000, 150 and 1000 by default. Of thirty
launches one serves a real small model, the others fail. The reference is a process that has imported the
daemon's modules and does nothing.
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from catalog.synthetic.header import shape_of
from config.data import catalogue
from tests.conftest import small_model
from tests.rigs import lent_ports, own_home
from tests.rigs.replica import write_replica

SEED = 11
IDLE_S = 10.0
SETTLE_S = 5.0
SERVED_ONE_IN = 30
LONG_NUMBERS = (0, 1, 2**31, 2**32, 2**62, 2**64 - 1)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CALLS = (
    ("GET", "/v1/status", None),
    ("GET", "/v1/launches", None),
    ("GET", "/v1/events?last=50", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/settings", None),
    ("GET", "/v1/probe", None),
    ("GET", "/v1/launches/nosuch", None),
    ("GET", "/v1/events?since=" + "9" * 30, None),
    ("POST", "/v1/plan", b"[" * 100_000),
    ("POST", "/v1/plan", json.dumps({"model": "x" * 5000}).encode()),
    ("POST", "/v1/plan", b" " * (5 << 20)),
    ("POST", "/v1/models/pin", b'{"model": "nosuch"}'),
)


@dataclass(frozen=True)
class Figures:
    daemon_mib: float
    daemon_peak_mib: float
    others_mib: float
    cpu_percent: float


def main() -> None:
    usual = ["10000", "150", "1000"]
    calls, launches, headers = map(int, [*sys.argv[1:], *usual[len(sys.argv) - 1 :]])
    reference()
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as (daemon, http):
        rows = [("before", measure(daemon))]
        for what, work in (
            (f"{calls} API calls", lambda: ask(http, calls)),
            (f"{launches} launches", lambda: launch(http, launches, Path(name))),
            (f"{headers} hostile headers", lambda: plan_headers(http, headers, Path(name))),
        ):
            begun = time.perf_counter()
            answers = work()
            print(f"{what}: {time.perf_counter() - begun:.0f} s, {dict(answers)}", flush=True)
            rows.append((f"after {what}", measure(daemon)))
    print(f"{'':<30}{'daemon':>12}{'its peak':>12}{'others':>12}{'idle CPU':>10}")
    for what, row in rows:
        sizes = f"{row.daemon_mib:>8.1f} MiB{row.daemon_peak_mib:>8.1f} MiB{row.others_mib:>8.1f} MiB"
        print(f"{what:<30}{sizes}{row.cpu_percent:>8.2f} %")


def reference() -> None:
    """What the modules alone take."""
    code = "import daemon.main; print(open('/proc/self/status').read().partition('VmRSS:')[2].split()[0])"
    kib = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    print(f"a process that has imported the daemon's modules: {kib / 1024:.1f} MiB")


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    env = own_home.environment(
        folder,
        NODE_DAEMON_STATE_DIR=str(folder / "state"),
        NODE_DAEMON_MODELS_DIR=str(folder / "models"),
        NODE_DAEMON_OFFLINE="true",
        NODE_DAEMON_PORT_FIRST=str(lent_ports.block()[0]),
        NODE_DAEMON_PORT_LAST=str(lent_ports.block()[-1]),
    )
    argv = [sys.executable, "-m", "daemon.main"]
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as daemon:
        try:
            transport = httpx.HTTPTransport(uds=str(folder / "s"), verify=False)
            with httpx.Client(transport=transport, base_url="http://node-daemon", timeout=300) as http:
                while not (folder / "s").exists():
                    time.sleep(0.05)
                http.get("/v1/probe")
                yield daemon, http
        finally:
            daemon.terminate()


def measure(daemon: subprocess.Popen[bytes]) -> Figures:
    time.sleep(SETTLE_S)
    others = [pid for pid in descendants(daemon.pid) if b"daemon.isolation" in cmdline(pid)]
    before = ticks(daemon.pid)
    time.sleep(IDLE_S)
    cpu_s = (ticks(daemon.pid) - before) / TICKS_PER_S
    return Figures(
        mib(daemon.pid, "VmRSS"),
        mib(daemon.pid, "VmHWM"),
        sum(mib(pid, "VmRSS") for pid in others),
        100 * cpu_s / IDLE_S,
    )


def descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [word for task in tasks for word in (task / "children").read_text().split()]
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def mib(pid: int, key: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{key}:")[2].split()[0]) / 1024


def ask(http: httpx.Client, count: int) -> Counter[int]:
    answers: Counter[int] = Counter()
    for number in range(count):
        method, path, body = CALLS[number % len(CALLS)]
        headers = {"Content-Type": "application/json"}
        answers[http.request(method, path, content=body, headers=headers).status_code] += 1
    return answers


def launch(http: httpx.Client, count: int, folder: Path) -> Counter[str]:
    """Each to its last step, then forgotten."""
    answers: Counter[str] = Counter()
    bad = folder / "bad-Q4_0.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    for number in range(count):
        model = small_model() if number % SERVED_ONE_IN == 0 else bad
        options = {"model": str(model), "name": f"n{number}", "context_tokens": 512, "threads": 1}
        answer = http.post("/v1/launches", json=options)
        if answer.status_code == 202:
            steps = http.get(f"/v1/launches/n{number}/progress").text.splitlines()
            answers[json.loads(steps[-1])["step"]] += 1
            http.post(f"/v1/launches/n{number}/stop", json={"forget": True})
        else:
            answers[str(answer.status_code)] += 1
    return answers


def plan_headers(http: httpx.Client, count: int, folder: Path) -> Counter[str]:
    model = catalogue()["qwen3-4b"]
    shape = shape_of(model, model.quants[0])
    shape = replace(shape, array_lengths=dict.fromkeys(shape.array_lengths, 64))
    whole = write_replica(folder / "replica.gguf", shape)
    size_bytes = whole.stat().st_size
    with whole.open("rb") as file:
        header = file.read(whole.stat().st_blocks * 512)
    chance = random.Random(SEED)  # noqa: S311 - the same headers each time
    answers: Counter[str] = Counter()
    path = folder / "hostile-Q4_0.gguf"
    for _ in range(count):
        path.write_bytes(mutated(header, chance))
        os.truncate(path, size_bytes)
        answer = http.post("/v1/plan", json={"model": str(path)})
        answers["planned" if answer.status_code == 200 else answer.json()["error"]["code"]] += 1
    return answers


def mutated(header: bytes, chance: random.Random) -> bytes:
    """One to eight numbers of the header, or bytes anywhere, are what no writer writes."""
    changed = bytearray(header)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(4, min(len(changed), 64 * 1024) - 8)
        match chance.randrange(4):
            case 0:
                changed[at : at + 8] = struct.pack("<Q", chance.choice(LONG_NUMBERS))
            case 1:
                changed[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 7, 2**31, 2**32 - 1)))
            case 2:
                changed[at] = chance.randrange(256)
            case _:
                changed[at : at + 64] = bytes(changed[at : at + 64][::-1])
    return bytes(changed)


if __name__ == "__main__":
    main()
