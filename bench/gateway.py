"""What the gateway adds to a stream and to a short request, beside the same sent to the engine directly.

``python bench/gateway.py [ROUNDS [SECONDS [LITELLM]]]``: 3 and 3 by default; LITELLM is the command of an
installation of ``litellm[proxy]``, which is measured beside them. The engine is a stand-in that emits 50
events a second in each stream, with the clock in each event: 64 streams are more than a small machine can
decode. All ways are measured in turn, in one run. The CPU time of a proxy's process holds on a busy machine,
too; waiting times hold beside those of the same run.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

RATE = 50.0
STREAMS = (1, 8, 64)
CONNECTIONS = (1, 8)
SHARES = (0.5, 0.99)
COLUMNS = ("per s", "first p50", "p99 ms", "late p50", "p99 ms", "CPU us", "rate")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SMALL = json.dumps({"object": "chat.completion", "choices": [], "pad": "x" * 300}).encode()
PAD = (
    b'"choices":[{"finish_reason":null,"index":0,"delta":{"content":"%d"}}],"created":1790000000,'
    b'"id":"chatcmpl-0123456789abcdef0123456789abcdef","model":"m","object":"chat.completion.chunk"'
)


CLOCK = re.compile(rb'"content": ?"([0-9]+)"')  # a proxy may write the JSON anew


def length_in(head: bytes) -> int:
    return int(head.split(b"content-length:")[1].split(b"\r\n")[0])


# the engine: bytes as llama-server writes them


async def emit(writer: asyncio.StreamWriter, events: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    begin = time.monotonic()
    for number in range(events):
        await asyncio.sleep(max(0.0, begin + (number + 1) / RATE - time.monotonic()))
        event = b"data: {%s}\n\n" % (PAD % time.monotonic_ns())
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
    event = b"data: [DONE]\n\n"
    writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event))


async def stand_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = length_in(head) if b"content-length:" in head else 0
            asked = json.loads(await reader.readexactly(length) or b"{}")
            if asked.get("stream"):
                await emit(writer, asked["max_tokens"])
            else:
                kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                writer.write(kind + b"Content-Length: %d\r\n\r\n" % len(SMALL) + SMALL)
    writer.close()


async def run_engine() -> None:
    async with await asyncio.start_server(stand_in, "127.0.0.1", 0, backlog=512) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


# the gateway: the daemon's own, with a launch whose engine is the stand-in


async def run_gateway(engine_port: int, folder: str) -> None:
    from config.loading import load  # noqa: PLC0415 - each process loads what it is
    from daemon.app import build_app, real_adapters  # noqa: PLC0415
    from daemon.gateway.listener.server import listening  # noqa: PLC0415
    from daemon.launches.launch import Engine, Launch  # noqa: PLC0415
    from daemon.launches.lifecycle import Lifecycle  # noqa: PLC0415
    from daemon.main import keep_what_is_loaded  # noqa: PLC0415
    from daemon.state.records import LaunchRequest  # noqa: PLC0415
    from daemon.state.store import Store  # noqa: PLC0415
    from domain.launches.launch import LaunchState  # noqa: PLC0415
    from domain.launches.plan import LaunchOptions  # noqa: PLC0415
    from launchers.command import Command  # noqa: PLC0415

    settings = load(state_dir=Path(folder), socket=Path(folder) / "s", listen="127.0.0.1:0")
    app = build_app(settings, Store(Path(folder) / "state.db"), real_adapters(settings))
    process = cast("Any", SimpleNamespace(pid=None, command=Command((), engine_port, "m")))
    launch = Launch(LaunchRequest("m", "/m.gguf", LaunchOptions()), Lifecycle(LaunchState.READY))
    launch.engine = Engine(process, engine_port, None)
    app.launches["m"] = launch
    keep_what_is_loaded()
    async with listening(app):
        print(str(app.gateway.url).rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


# the client: raw, so that it takes little of the CPU


@dataclass
class Seen:
    """``late_ns`` is the time from an event's emission to its arrival, ``first_ns`` from the request to the
    first event; of short requests ``late_ns`` is the whole time."""

    late_ns: list[int] = field(default_factory=list)
    first_ns: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def request(**body: object) -> bytes:
    content = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "x" * 400}], **body}
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content


async def read_stream(port: int, seconds: float, seen: Seen, number: int) -> None:
    await asyncio.sleep(number * 0.017)  # streams are not in step
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_ns, got, events = time.monotonic_ns(), 0, int(seconds * RATE)
    writer.write(request(stream=True, max_tokens=events))
    while (line := await reader.readline()) and not line.startswith(b"data: [DONE]"):
        if (clock := CLOCK.search(line)) is not None:
            now_ns = time.monotonic_ns()
            if not got:
                seen.first_ns.append(now_ns - began_ns)
            got += 1
            seen.late_ns.append(now_ns - int(clock[1]))
    if got != events:
        seen.errors.append(f"{got} of {events} events")
    writer.close()


async def read_short(port: int, until_s: float, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until_s:
        began_ns = time.monotonic_ns()
        writer.write(request())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200" not in head.partition(b"\r\n")[0]:
            seen.errors.append(head[:40].decode())
        await reader.readexactly(length_in(head))
        seen.late_ns.append(time.monotonic_ns() - began_ns)
    writer.close()


async def load(port: int, kind: str, count: int, seconds: float) -> Seen:
    seen = Seen()
    if kind == "stream":
        await asyncio.gather(*(read_stream(port, seconds, seen, number) for number in range(count)))
    else:
        until_s = time.monotonic() + seconds
        await asyncio.gather(*(read_short(port, until_s, seen) for _ in range(count)))
    return seen


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def quantile_ms(values_ns: list[int], share: float) -> float:
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6 if ordered else 0.0


@dataclass(frozen=True)
class Way:
    name: str
    port: int
    pid: int


@contextlib.contextmanager
def child(name: str, *words: str) -> Iterator[Way]:
    argv = [sys.executable, __file__, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Way(name, int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def litellm(command: str, engine_port: int, folder: str) -> Iterator[Way]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = {"model": "openai/m", "api_base": f"http://127.0.0.1:{engine_port}/v1", "api_key": "none"}
    config = Path(folder) / "litellm.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": target}]}))
    argv = [command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    own = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                    break
                time.sleep(0.5)
            yield Way("LiteLLM", port, process.pid)
        finally:
            process.terminate()


def main(rounds: int, seconds: float, command: str | None) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="node-daemon-bench-") as folder,
        contextlib.ExitStack() as opened,
    ):
        engine = opened.enter_context(child("direct", "engine"))
        gateway = opened.enter_context(child("gateway", "gateway", str(engine.port), folder))
        ways = [engine, gateway]
        if command is not None:
            ways.append(opened.enter_context(litellm(command, engine.port, folder)))
        for way in ways[1:]:
            asyncio.run(load(way.port, "short", 1, 0.2))  # the first request loads the client
        print(" " * 21 + "".join(f"{column:>10}" for column in COLUMNS))
        for kind, counts in (("stream", STREAMS), ("short", CONNECTIONS)):
            for count in counts:
                measure(kind, count, rounds, seconds, ways)
        for way in ways[1:]:
            status = Path(f"/proc/{way.pid}/status").read_text()
            resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
            print(f"{way.name}: {resident:.0f} MiB resident")
        print("load of the machine:", *(f"{value:.1f}" for value in os.getloadavg()))


def measure(kind: str, count: int, rounds: int, seconds: float, ways: list[Way]) -> None:
    """``rate``: events or requests a second, as a share of those of the engine itself."""
    rows: dict[str, list[tuple[float, ...]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            before_s, began_s = cpu_s(way.pid), time.monotonic()
            seen = asyncio.run(load(way.port, kind, count, seconds))
            took_s, events = time.monotonic() - began_s, max(1, len(seen.late_ns))
            if seen.errors:
                print("errors:", way.name, seen.errors[:3])
            times = (quantile_ms(found, share) for found in (seen.first_ns, seen.late_ns) for share in SHARES)
            used_us = (cpu_s(way.pid) - before_s) / events * 1e6
            rows[way.name].append((events / took_s, *times, used_us))
    for way in ways:
        figures = [statistics.median(column) for column in zip(*rows[way.name], strict=True)]
        rate = figures[0] / statistics.median(row[0] for row in rows["direct"])
        print(
            f"{kind:>7}{count:>4}{way.name:>10}" + "".join(f"{one:>10.2f}" for one in (*figures, rate)),
            flush=True,
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["engine"]:
            asyncio.run(run_engine())
        case ["gateway", port, folder]:
            asyncio.run(run_gateway(int(port), folder))
        case words:
            rounds, seconds, *command = [*words, "3", "3"][: max(2, len(words))]
            main(int(rounds), float(seconds), command[0] if command else None)
