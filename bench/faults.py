"""How long a client waits for an answer after a fault (``make bench-faults``): ``python bench/faults.py 5``.

A daemon serves a small model with the real engine behind the gateway. A fault is made, and a question with a
known answer is asked again and again, each time waiting as long as it takes, until it is answered. The
reference is the same question without a fault. ``errors`` are the questions that were refused or cut off
meanwhile, in all.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import small_model
from tests.rigs import lent_ports, own_home

NAME = "small"
QUESTION = {"messages": [{"role": "user", "content": "Name the capital of France."}], "temperature": 0}
ANSWER = "Paris"
PAUSE_S = 0.05
DELAY_STARTS_OVER_S = 61.0  # of restarts, after a minute of serving: each fault is the first


@dataclass
class Box:
    """A home of a daemon, which is started again as a service would be."""

    folder: Path
    gateway: str
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-m", "daemon.main"]
        self.process = subprocess.Popen(argv, env=self.env, stderr=subprocess.DEVNULL)

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()

    def call(self, method: str, path: str, **body: object) -> Any:
        transport = httpx.HTTPTransport(uds=str(self.folder / "s"), verify=False)
        with httpx.Client(transport=transport, base_url="http://node-daemon", timeout=300) as http:
            return http.request(method, path, json=body or None).json()

    def engine(self) -> int:
        return int(self.call("GET", f"/v1/launches/{NAME}")["launch"]["pid"])


@dataclass(frozen=True)
class Recovery:
    seconds: float
    errors: int


def nothing(_: Box) -> None:
    """The reference."""


def kill_engine(box: Box) -> None:
    os.kill(box.engine(), signal.SIGKILL)


def stop_engine(box: Box) -> None:
    os.kill(box.engine(), signal.SIGSTOP)


def kill_daemon(box: Box) -> None:
    box.end(signal.SIGKILL)
    box.start()


def kill_both(box: Box) -> None:
    engine = box.engine()
    box.end(signal.SIGKILL)
    os.kill(engine, signal.SIGKILL)
    box.start()


def restart_daemon(box: Box) -> None:
    box.end(signal.SIGTERM)
    box.start()


def restart_model(box: Box) -> None:
    box.call("POST", f"/v1/launches/{NAME}/restart")


FAULTS: dict[str, Callable[[Box], None]] = {
    "no fault": nothing,
    "the engine is killed": kill_engine,
    "the engine hangs (SIGSTOP)": stop_engine,
    "the daemon is killed": kill_daemon,
    "both are killed": kill_both,
    "the daemon is restarted": restart_daemon,
    "`node-ctl restart`": restart_model,
}


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[Recovery]] = {fault: [] for fault in FAULTS}
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as box:
        for _ in range(times):
            for fault, make in FAULTS.items():
                make(box)
                found[fault].append(until_answered(box))
                if fault != "no fault":
                    time.sleep(DELAY_STARTS_OVER_S)
    reference_s = statistics.median(one.seconds for one in found["no fault"])
    print(f"| {'fault':<27} | {'median':>8} | {'worst':>8} | {'ratio':>6} | {'errors':>6} |")
    print("|---|---|---|---|---|")
    for fault, runs in found.items():
        seconds = [one.seconds for one in runs]
        middle_s, errors = statistics.median(seconds), sum(one.errors for one in runs)
        ratio = middle_s / reference_s
        print(f"| {fault:<27} | {middle_s:>6.2f} s | {max(seconds):>6.2f} s | {ratio:>6.1f} | {errors:>6} |")


def until_answered(box: Box) -> Recovery:
    begun, errors = time.perf_counter(), 0
    while True:
        try:
            answer = httpx.post(
                f"{box.gateway}/v1/chat/completions", json={**QUESTION, "model": NAME}, timeout=300
            )
            if answer.status_code == httpx.codes.OK and ANSWER in answer.text:
                return Recovery(time.perf_counter() - begun, errors)
        except httpx.TransportError:
            pass
        errors += 1
        time.sleep(PAUSE_S)


@contextmanager
def serving(folder: Path) -> Iterator[Box]:
    first, *others, last = lent_ports.block()
    env = own_home.environment(
        folder,
        NODE_DAEMON_STATE_DIR=str(folder / "state"),
        NODE_DAEMON_OFFLINE="true",
        NODE_DAEMON_LISTEN=f"127.0.0.1:{first}",
        NODE_DAEMON_PORT_FIRST=str(others[0]),
        NODE_DAEMON_PORT_LAST=str(last),
    )
    box = Box(folder, f"http://127.0.0.1:{first}", env)
    box.start()
    try:
        while not (folder / "s").exists():
            time.sleep(PAUSE_S)
        box.call("POST", "/v1/launches", name=NAME, model=str(small_model()), context_tokens=2048)
        until_answered(box)
        time.sleep(DELAY_STARTS_OVER_S)
        yield box
    finally:
        box.end(signal.SIGTERM)


if __name__ == "__main__":
    main()
