"""``node-ctl top``: what is on the screen, and how one leaves it."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from ctl.top.reading import Figures, Reader, Reading, read_figures
from ctl.top.screen import bar, screen
from domain.launches.launch import LaunchState
from domain.machine.budget import DeviceBudget, Share
from domain.machine.hardware import Gpu, Hardware, MemoryKind, Thermal
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import Answer, FakeDaemon

STATUS = {"version": "0.1.0", "uptime_s": 7380.0, "launches": {"ready": 1, "failed": 0}, "gateway": None}
CARD = Gpu(
    "pci:0", "nvidia", "RTX 3090", MemoryKind.DEDICATED, 24 * GIB, 6 * GIB, temperature_c=71, power_w=310
)
BOX = Hardware(gpus=(CARD,), thermals=(Thermal("k10temp Tctl", 48.5), Thermal("nvme Composite", 61.0)))
GPU = DeviceBudget("GPU0", "RTX 3090", 24 * GIB, 6 * GIB, GIB, 5 * GIB, 6 * GIB)
HOST = DeviceBudget("host", None, 64 * GIB, 32 * GIB, GIB, 31 * GIB, None)
METRICS = b"""# TYPE node_daemon_requests_in_flight gauge
node_daemon_requests_in_flight{model="smol"} 2.0
# TYPE node_daemon_queue_depth gauge
node_daemon_queue_depth{model="smol",class="interactive"} 1.0
node_daemon_queue_depth{model="smol",class="batch"} 3.0
node_daemon_queue_depth{model="other",class="batch"} 9.0
# TYPE node_daemon_generated_tokens counter
node_daemon_generated_tokens_total{model="smol"} %d.0
"""


def event(number: int, level: str = "info", message: str = "smol answers") -> dict[str, object]:
    return {
        "id": number, "at": "2026-11-30T10:43:53+00:00", "kind": "ready", "launch": "smol",
        "message": message, "level": level,
    }  # fmt: skip


def reading(**changed: object) -> Reading:
    whole = Reading(STATUS, [answers.ROW], [GPU, HOST], BOX, [event(1), event(2, "error", "it died")])
    return replace(whole, **changed)  # type: ignore[arg-type]


def test_the_screen_has_launches_devices_and_events() -> None:
    lines = dict(screen(reading(), 100, 24))
    assert next(iter(lines)) == "node-daemon 0.1.0  up 2 h 03 min  1 ready"
    assert any(line.split()[:2] == ["smol", "ready"] for line in lines)
    assert "GPU0      ############++++++......  6.0 GiB free of 24.0 GiB  71 C  310 W  RTX 3090" in lines
    assert (
        "host      ############............  32.0 GiB free of 64.0 GiB  61 C at the hottest sensor" in lines
    )
    assert [style for line, style in lines.items() if line.endswith("it died")] == ["red"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (200, 60), (20, 5)])
def test_it_fits_and_the_newest_events_are_kept(width: int, height: int) -> None:
    rows = [replace(answers.ROW, name=f"model-{number}", last_error="x" * 300) for number in range(40)]
    many = [event(number, message=f"number {number}") for number in range(100)]
    lines = screen(reading(rows=rows, events=many), width, height)
    assert len(lines) <= height
    assert max(len(line) for line, _ in lines) <= width
    if height >= 12:
        assert lines[-1][0].endswith("number 99")
        assert any("node-ctl ps" in line for line, _ in lines)


def test_what_is_wrong_with_a_launch_is_below_it_and_harmless() -> None:
    row = replace(answers.ROW, state=LaunchState.FAILED, last_error="no memory\x1b[2J")
    lines = screen(reading(rows=[row]), 80, 24)
    assert ("  no memory\\x1b[2J", "yellow") in lines


def test_unknown_sizes_and_temperatures_are_blank() -> None:
    unknown = DeviceBudget("GPU0", None, None, None, 0, None, None)
    card = replace(CARD, temperature_c=None, power_w=None, asleep=True)
    (line,) = [
        line
        for line, _ in screen(reading(budgets=[unknown], hardware=Hardware(gpus=(card,))), 100, 24)
        if line.startswith("GPU0")
    ]
    assert line.split() == ["GPU0", "?", "free", "of", "?", "asleep", "RTX", "3090"]


@pytest.mark.parametrize(
    ("free_gib", "others_gib", "drawn"),
    [(24, 0, "........"), (0, 24, "#+++++++"), (12, 6, "##++...."), (30, 0, "........")],
)
def test_the_bar_is_drawn_by_owner(free_gib: int, others_gib: int, drawn: str) -> None:
    share = Share("smol", GIB, 0, "ready", "always")
    seen = replace(GPU, free_bytes=free_gib * GIB, others_bytes=others_gib * GIB, shares=(share,))
    assert bar(seen, 8) == drawn


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[int]]]:
    """An address with METRICS; the list holds the tokens that it counts and the statuses that it answers."""
    tokens: list[int] = [100]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if tokens[0] >= 0 else 401)
            self.end_headers()
            self.wfile.write(METRICS % tokens[0])

        def log_message(self, *args: object) -> None:
            """Silence."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", tokens
        server.shutdown()
        thread.join()


def test_figures_are_summed_by_model(gateway: tuple[str, list[int]]) -> None:
    address, tokens = gateway
    figures = read_figures(address)
    assert figures is not None
    assert figures.total("queue_depth", model="smol") == 4
    assert figures.total("requests_in_flight", model="smol") == 2
    assert figures.total("requests_in_flight", model="other") is None
    tokens[0] = -1
    assert read_figures(address) is None, "it wants a key"
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        assert read_figures(f"http://127.0.0.1:{deaf.getsockname()[1]}") is None


def test_the_rate_is_of_the_last_minute(daemon: FakeDaemon) -> None:
    reader = Reader(None)  # type: ignore[arg-type]

    def rates(at_s: float, tokens: float) -> dict[str, float]:
        counted = Figures({("generated_tokens_total", frozenset({("model", "smol")})): tokens})
        return reader._rates([answers.ROW], counted, at_s)

    assert rates(0.0, 500.0) == {}
    assert rates(10.0, 600.0) == {"smol": 10.0}
    assert rates(70.0, 1200.0) == {"smol": 10.0}, "from 10 s on"
    assert rates(71.0, 5.0) == {"smol": 0.0}, "the daemon began anew"


@pytest.fixture
def served(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("GET /v1/status", STATUS)
    daemon.on("GET /v1/launches", [to_json(answers.ROW)])
    daemon.on("GET /v1/memory", to_json([GPU, HOST]))
    daemon.on("GET /v1/probe", to_json(BOX))
    daemon.on("GET /v1/events", Answer(lines=(json.dumps(event(1)),)))
    return daemon


def test_in_a_pipe_it_is_printed_once(ctl: Ctl, served: FakeDaemon) -> None:
    done = ctl("top")
    assert done.stdout.startswith("node-daemon 0.1.0  up 2 h 03 min  1 ready\n")
    assert "smol answers" in done.stdout


def test_json_has_what_is_shown(ctl: Ctl, served: FakeDaemon) -> None:
    told = json.loads(ctl("top", "--json").stdout)
    assert (told["launches"][0]["name"], told["gpus"][0]["power_w"]) == ("smol", 310)
    assert [one["id"] for one in told["events"]] == [1]


def test_it_is_drawn_until_q_is_pressed_also_over_a_restart_of_the_daemon(
    ctl: Ctl, served: FakeDaemon
) -> None:
    with terminal(["top", "--interval", "0.5"], ctl.env) as shown:
        shown.until("smol answers")
        served.on("GET /v1/status", Answer(cut=True, lines=()))
        shown.until("lost the connection", after="smol answers")
        served.on("GET /v1/status", STATUS | {"version": "0.2.0"})
        shown.until("node-daemon 0.2.0", after="lost the connection")
        shown.press(b"q")
        assert shown.ended() == 0


def test_ctrl_c_leaves_it_too(ctl: Ctl, served: FakeDaemon) -> None:
    with terminal(["top"], ctl.env) as shown:
        shown.until("smol answers")
        shown.press(b"\x03")
        assert shown.ended() == 130
