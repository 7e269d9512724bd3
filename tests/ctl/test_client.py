"""The client of the daemon, against real HTTP on a real socket: answers, streams, errors and silence."""

import json
import os
import pwd
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctl import client
from ctl.client import AnswerError, Daemon, Peer, find_socket, other_daemons, peer_of
from daemon import instance_lock
from domain.errors import DaemonGoneError
from tests.fakes.daemon_server import Answer, FakeDaemon, refusal, serving


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "s") as fake:
        yield fake


@pytest.fixture
def daemon(fake: FakeDaemon) -> Daemon:
    return Daemon(fake.socket)


def raw(path: Path, answer: bytes, received: list[bytes] | None = None) -> threading.Thread:
    """A listener that says ``answer`` to whoever calls first, and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        request = connection.recv(65536)
        while request.startswith(b"POST") and not request.endswith(b"{}"):
            request += connection.recv(65536)
        if received is not None:
            received.append(request)
        connection.sendall(answer)
        connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_get_has_no_body_and_returns_the_json(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/status", {"a": [1, None]})
    assert daemon.get("/v1/status?x=1") == {"a": [1, None]}
    (asked,) = fake.asked
    assert (asked.method, asked.path, asked.query, asked.body) == ("GET", "/v1/status", {"x": "1"}, None)


def test_a_post_always_has_a_json_body(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("POST /v1/plan", [])
    assert daemon.post("/v1/plan", {"model": "m"}) == []
    assert daemon.post("/v1/plan") == []
    assert daemon.post("/v1/plan", {}) == []
    assert [asked.body for asked in fake.asked] == [{"model": "m"}, {}, {}]


def test_only_a_request_with_a_body_says_that_it_is_json(tmp_path: Path) -> None:
    received: list[bytes] = []
    for number, call in enumerate((Daemon.get, Daemon.post)):
        path = tmp_path / f"raw{number}"
        thread = raw(path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", received)
        assert call(Daemon(path), "/v1/x") == {}
        thread.join()
    assert [b"Content-Type: application/json" in request for request in received] == [False, True]


def test_the_lines_of_a_stream_come_one_by_one_until_it_ends(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/events", Answer(lines=("one", "", "zwei ü\r")))
    assert list(daemon.lines("/v1/events")) == ["one", "", "zwei ü"]


def test_a_line_is_there_while_the_stream_is_open(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/events", Answer(lines=("one",), open_after=True))
    stream = daemon.lines("/v1/events")
    assert next(stream) == "one"
    stream.close()  # type: ignore[attr-defined]


def test_bytes_that_are_no_text_end_no_stream(daemon: Daemon, tmp_path: Path) -> None:
    thread = raw(tmp_path / "raw", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na\xff b\n")
    assert list(Daemon(tmp_path / "raw").lines("/")) == ["a\ufffd b"]
    thread.join()


@pytest.mark.parametrize("status", [400, 404, 500])
def test_an_error_is_the_daemon_s_own(daemon: Daemon, fake: FakeDaemon, status: int) -> None:
    fake.on("GET /v1/x", refusal("does_not_fit", "too large", "ask for less", status, line="oom"))
    with pytest.raises(AnswerError) as failed:
        daemon.get("/v1/x")
    error = failed.value
    assert (error.code, str(error), error.hint, error.engine_output) == (
        "does_not_fit",
        "too large",
        "ask for less",
        "oom",
    )


def test_an_error_without_a_hint_has_none(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/x", Answer({"error": {"code": "failed", "message": "m", "hint": None}}, 500))
    with pytest.raises(AnswerError) as failed:
        daemon.get("/v1/x")
    assert (failed.value.hint, failed.value.engine_output) == ("", "")


def test_an_error_brings_its_explanation(daemon: Daemon, fake: FakeDaemon) -> None:
    explanation = {"short": ["GPU0 would hold 9.0 GiB"], "instead": [], "holds": []}
    error = {"code": "does_not_fit", "message": "m does not fit", "explanation": explanation}
    fake.on("GET /v1/x", Answer({"error": error}, 409))
    with pytest.raises(AnswerError) as failed:
        daemon.get("/v1/x")
    assert failed.value.explanation == explanation


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"error": "odd"}',
        b'{"error": {"message": "m"}}',
        b'{"error": {"code": "c"}}',
    ],
)
def test_an_error_in_another_shape_is_shown_as_it_is(daemon: Daemon, fake: FakeDaemon, body: bytes) -> None:
    fake.on("GET /v1/x", Answer(body, 502))
    with pytest.raises(AnswerError) as failed:
        daemon.get("/v1/x")
    assert (failed.value.code, str(failed.value)) == ("failed", f"the daemon answered 502: {body.decode()}")


def test_a_long_error_in_another_shape_is_cut(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/x", Answer(b"x" * 900, 500))
    with pytest.raises(AnswerError) as failed:
        daemon.get("/v1/x")
    assert str(failed.value) == f"the daemon answered 500: {'x' * 200}"


def test_an_answer_that_is_no_json_names_the_socket(daemon: Daemon, fake: FakeDaemon) -> None:
    fake.on("GET /v1/x", Answer(b"{", 200))
    with pytest.raises(
        AnswerError, match=f"the answer of node-daemon at {fake.socket} is not JSON"
    ) as failed:
        daemon.get("/v1/x")
    assert failed.value.code == "failed"


def test_a_daemon_that_says_nothing_is_given_up_after_the_time(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute"))
        listener.listen()
        with pytest.raises(DaemonGoneError, match=r"did not answer in 0 s") as failed:
            Daemon(tmp_path / "mute").get("/v1/status", timeout_s=0.05)
        assert "doctor" in failed.value.hint
        with pytest.raises(DaemonGoneError, match="did not answer"):
            Daemon(tmp_path / "mute").post("/v1/plan", timeout_s=0.05)


def test_a_stream_may_be_silent_for_longer_than_an_answer(
    daemon: Daemon, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.05)
    fake.on("GET /v1/events", Answer(lines=("one",), open_after=True))
    stream = daemon.lines("/v1/events")
    assert next(stream) == "one"
    threading.Timer(0.3, fake.ends.set).start()
    assert list(stream) == []


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_a_daemon_that_dies_while_it_answers_is_gone_with_what_to_do(tmp_path: Path, answer: bytes) -> None:
    thread = raw(tmp_path / "raw", answer)
    with pytest.raises(DaemonGoneError, match="lost the connection to node-daemon at") as failed:
        Daemon(tmp_path / "raw").get("/v1/status")
    thread.join()
    assert failed.value.hint == client.START_HINT


def test_a_socket_that_nobody_listens_on_is_a_daemon_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DaemonGoneError, match="lost the connection"):
        Daemon(tmp_path / "none").get("/v1/status")


def test_the_first_socket_with_a_listener_is_taken(
    fake: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    (tmp_path / "file").write_text(json.dumps({}))
    candidates = [tmp_path / "none", tmp_path / "file" / "s", stale, fake.socket, tmp_path / "later"]
    monkeypatch.setattr(client.paths, "sockets", lambda: candidates)
    assert find_socket() == fake.socket
    monkeypatch.setattr(client.paths, "sockets", lambda: candidates[:3])
    assert find_socket() is None


def test_a_socket_that_may_not_be_opened_is_an_error_with_the_group(
    fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may open any: the kernel's answer is played."""

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client.paths, "sockets", lambda: [fake.socket])
    monkeypatch.setattr(client.socket.socket, "connect", denied)
    with pytest.raises(DaemonGoneError, match=f"no permission to open {fake.socket}") as failed:
        find_socket()
    assert "usermod -aG node-daemon" in failed.value.hint


def test_a_path_that_is_no_socket_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.paths, "sockets", lambda: [tmp_path / ("x" * 200)])
    with pytest.raises(DaemonGoneError, match="too long") as failed:
        find_socket()
    assert failed.value.hint == "use another --socket"


def test_a_daemon_is_who_listens_on_its_socket(fake: FakeDaemon, tmp_path: Path) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    assert peer_of(fake.socket) == Peer(fake.socket, user, os.getpid())
    assert peer_of(tmp_path / "none") is None


def test_others_are_those_of_another_process_that_listen(
    fake: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setattr(client.paths, "default_sockets", lambda: [own, fake.socket, tmp_path / "none"])
    assert other_daemons(Peer(own, "ada", pid=1)) == [peer_of(fake.socket)]
    assert other_daemons(Peer(own, "ada", os.getpid())) == [], "it listens on two sockets"
    assert other_daemons(Peer(fake.socket, "ada", pid=1)) == [], "it is asked"


def test_a_daemon_that_was_killed_does_not_listen_though_its_socket_is_still_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread in a driver, for example: here by this process."""
    monkeypatch.setattr(client.paths, "sockets", lambda: [tmp_path / "s"])
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "s"))
        if (child := os.fork()) == 0:
            held.listen()
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        killed = find_socket()
        os.waitpid(child, 0)
        assert killed is None
        assert find_socket() == tmp_path / "s", "nothing is known of a process that is not seen from here"


@pytest.mark.parametrize("named", [None, "configured", "other"])
def test_a_lost_socket_is_found_by_the_lock_unless_another_was_named(
    fake: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setattr(client.paths, "sockets", lambda: [tmp_path / "lost"])
    monkeypatch.setattr(client.paths, "state_dir", lambda: tmp_path)
    monkeypatch.setattr(client.paths, "named_socket", lambda: named and tmp_path / named)
    with instance_lock.hold(tmp_path):
        assert find_socket() is None, "it starts"
        instance_lock.tell_socket(tmp_path, fake.socket, tmp_path / "configured")
        assert find_socket() == (None if named == "other" else fake.socket)
        instance_lock.tell_socket(tmp_path, tmp_path / "gone", tmp_path / "configured")
        assert find_socket() is None
