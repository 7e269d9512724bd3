"""The daemon as systemd and owners run it: a child of its own, with the real engine."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import last_good
from tests.daemon.conftest import alive
from tests.rigs import forked, lent_ports

QUESTION = {"messages": [{"role": "user", "content": "Name the capital of France."}], "temperature": 0}


class Child:
    """``node-daemon`` on the state below ``folder``."""

    def __init__(self, folder: Path, own: Sequence[str] | None = None, **environ: str) -> None:
        """``own`` are its arguments, instead of a state and a socket below ``folder``."""
        self.folder = folder
        self.socket = folder / "s"
        arguments = ["--state-dir", str(folder / "state"), "--socket", str(self.socket)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NODE_DAEMON_")}
        ports = {
            "NODE_DAEMON_LISTEN": "off",
            "NODE_DAEMON_PORT_FIRST": str(lent_ports.block()[0]),
            "NODE_DAEMON_PORT_LAST": str(lent_ports.block()[-1]),
        }
        number = len(list(folder.glob("*.out")))
        self._said = folder / f"{number}.out"
        env = {**inherited, **ports, "HOME": str(folder), "NODE_DAEMON_OFFLINE": "true", **environ}
        with Path(os.devnull).open() as nothing, self._said.open("wb") as said:
            files = nothing.fileno(), said.fileno(), said.fileno()
            args = arguments if own is None else own
            self.process = forked.start("tests.daemon.unmeasured", args, env, files, cwd=folder)

    def up(self) -> "Child":
        """Once it answers."""
        until(lambda: self.process.poll() is not None or self.answers())
        assert self.process.poll() is None, self.output()
        return self

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        return bool(self.get("/v1/status")["pid"] == self.process.pid)

    def http(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        return httpx.Client(transport=transport, base_url="http://node-daemon", timeout=60)

    def get(self, path: str) -> Any:
        with self.http() as http:
            return http.get(path).json()

    def post(self, path: str, **body: object) -> Any:
        with self.http() as http:
            return http.post(path, json=body).json()

    def last_step(self, name: str) -> Any:
        with self.http() as http:
            return json.loads(http.get(f"/v1/launches/{name}/progress").text.splitlines()[-1])

    def row(self, name: str) -> Any:
        return self.get(f"/v1/launches/{name}")["launch"]

    def output(self) -> str:
        self.process.wait(120)
        return self._said.read_text()

    def end(self, number: int = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        return self.output()


def until(check: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def answer(row: Any) -> str:
    reply = httpx.post(f"{row['endpoint']}/v1/chat/completions", json=QUESTION, timeout=60)
    return str(reply.json()["choices"][0]["message"]["content"])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def begin(own: Sequence[str] | None = None, **environ: str) -> Child:
        children.append(Child(tmp_path, own, **environ))
        return children[-1]

    yield begin
    for child in children:
        if child.process.poll() is None:
            child.end()


@pytest.mark.engine
def test_a_model_outlives_its_daemon_and_its_own_death(start: Callable[..., Child], smollm2: Path) -> None:
    first = start().up()
    assert first.post("/v1/launches", model=str(smollm2), name="tiny", context_tokens=1024, threads=1)[
        "created"
    ]
    assert first.last_step("tiny")["step"] == "ready"
    before = first.row("tiny")
    assert "Paris" in answer(before)

    first.end(signal.SIGKILL)
    assert alive(before["pid"])
    assert "Paris" in answer(before), "nobody is left to look after it, and it serves"

    second = start().up()
    until(lambda: second.row("tiny")["state"] == "ready")
    adopted = second.row("tiny")
    assert adopted["pid"] == before["pid"]
    assert "Paris" in answer(adopted)

    os.kill(adopted["pid"], signal.SIGKILL)
    until(lambda: second.row("tiny")["pid"] not in (None, adopted["pid"]))
    assert second.last_step("tiny")["step"] == "ready"
    again = second.row("tiny")
    assert again["endpoint"] == before["endpoint"]
    assert "Paris" in answer(again)

    said = second.end()
    assert second.process.returncode == 0, said
    assert not alive(again["pid"])
    assert not second.socket.exists()
    assert "Traceback" not in said


def test_a_second_daemon_on_the_same_state_says_who_holds_it(start: Callable[..., Child]) -> None:
    first = start().up()
    second = start()
    said = second.output()
    assert second.process.returncode == 1
    assert f"is in use by another node-daemon, pid {first.process.pid}" in said
    assert "hint: " in said
    assert first.answers()


def test_a_socket_left_by_a_crash_is_replaced(start: Callable[..., Child]) -> None:
    first = start().up()
    first.end(signal.SIGKILL)
    assert first.socket.is_socket()
    assert start().up().answers()
    assert first.socket.stat().st_mode & 0o777 == 0o660


def test_systemd_is_told_how_it_goes(start: Callable[..., Child], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        # Fed once a second: the kernel queues ten messages, and drops what comes while nobody reads them.
        child = start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
        told = [manager.recv(4096).decode()]
        while "READY=1" not in told[-1]:
            told.append(manager.recv(4096).decode())
        assert child.answers()
        while "WATCHDOG=1" not in told:
            told.append(manager.recv(4096).decode())
        child.process.send_signal(signal.SIGTERM)
        while not told[-1].startswith("STOPPING=1"):
            told.append(manager.recv(4096).decode())
    assert "STATUS=no launches" in "\n".join(told)
    assert child.process.wait(120) == 0


def test_whoever_follows_hears_the_end_when_it_is_shut_down(start: Callable[..., Child]) -> None:
    child = start().up()
    with child.http() as http, http.stream("GET", "/v1/events?follow=true") as events:
        assert child.post("/v1/shutdown") == {"stopping": True}
        for _ in events.iter_lines():
            pass  # the box may have had an event of its own; what counts is that the stream ends well
    assert child.process.wait(120) == 0


def test_a_wrong_setting_ends_it_with_one_clear_line(start: Callable[..., Child], tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("modles_dir = '/m'\n")
    child = start(NODE_DAEMON_CONFIG=str(file))
    assert child.output() == (
        f"node-daemon: {file}:1: unknown setting 'modles_dir'\nhint: did you mean models_dir?\n"
    )
    assert child.process.returncode == 2, "systemd does not try again: the next try would end in the same way"


def test_a_bad_settings_file_takes_nothing_down(start: Callable[..., Child], tmp_path: Path) -> None:
    """A daemon that starts with one runs as it last did, and says so wherever an owner looks."""
    file = tmp_path / "config.toml"
    file.write_text("restart_loop = 7\n")
    good = start(NODE_DAEMON_CONFIG=str(file)).up()
    until((tmp_path / "state" / last_good.NAME).exists)  # it answers a moment earlier
    good.end(signal.SIGKILL)
    file.write_text("restart_loop = 9\nmodles_dir = '/m'\n")
    child = start(NODE_DAEMON_CONFIG=str(file)).up()

    problem = f"{file}:2: unknown setting 'modles_dir'"
    told = child.get("/v1/settings")
    (restart_loop,) = [row for row in told["settings"] if row["name"] == "restart_loop"]
    assert restart_loop["value"] == 7
    assert restart_loop["origin"].startswith("settings file as of 20")
    assert [one["key"] for one in told["problems"]] == ["modles_dir"]
    assert f"not used: {problem}" in [one["what"] for one in child.get("/v1/status")["problems"]]
    (finding,) = child.get("/v1/doctor?check=settings")
    assert (finding["status"], problem in finding["found"]) == ("error", True)
    with child.http() as http:
        events = [json.loads(line) for line in http.get("/v1/events").text.splitlines()]
    assert f"not used: {problem}" in [one["message"] for one in events if one["kind"] == "settings_rejected"]
    assert problem in child.end()

    file.write_text("restart_loop = 9\n")
    assert start(NODE_DAEMON_CONFIG=str(file)).up().get("/v1/doctor?check=settings")[0]["status"] == "ok"


def test_a_file_that_was_spoiled_meanwhile_is_found_before_the_next_start(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("restart_loop = 7\n")
    child = start(NODE_DAEMON_CONFIG=str(file)).up()
    file.write_text("restart_loop = 0\n")
    (finding,) = child.get("/v1/doctor?check=settings")
    assert finding["status"] == "warning"
    assert "restart_loop = 0" in finding["found"]


def test_a_valid_file_with_which_it_can_not_start_is_bad_too(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    """A socket that can't be bound, say: it is found before any engine is touched."""
    file, place = tmp_path / "config.toml", {"NODE_DAEMON_STATE_DIR": str(tmp_path / "kept")}
    place["NODE_DAEMON_CONFIG"] = str(file)
    file.write_text(f"socket = '{tmp_path}/s'\n")
    good = start(own=(), **place).up()
    until((tmp_path / "kept" / last_good.NAME).exists)
    good.end()
    (tmp_path / "taken").write_text("no socket")
    file.write_text(f"socket = '{tmp_path}/taken'\n")
    child = start(own=(), **place).up()
    assert "taken exists and is not a socket" in child.get("/v1/status")["problems"][0]["what"]
    assert (tmp_path / "taken").read_text() == "no socket"


def test_a_state_of_a_newer_version_is_left_alone(start: Callable[..., Child], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with sqlite3.connect(tmp_path / "state" / "state.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    child = start()
    assert "has schema version 99" in child.output()
    assert child.process.returncode == 1
