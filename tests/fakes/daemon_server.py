"""A daemon that only answers: real HTTP on a real Unix socket; it keeps what it was asked."""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """``lines`` make it a stream, sent one by one; ``open_after`` keeps it open until the server ends;
    ``cut`` drops the connection instead of ending the stream."""

    body: object = None
    status: int = 200
    lines: tuple[str, ...] | None = None
    open_after: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: object


def refusal(code: str, message: str, hint: str = "", status: int = 500, line: str = "") -> Answer:
    return Answer({"error": {"code": code, "message": message, "hint": hint, "line": line}}, status)


def _nothing() -> dict[str, Answer]:
    return {"GET /v1/launches": Answer([]), "GET /v1/events": Answer(lines=())}


@dataclass
class FakeDaemon:
    """Nothing is launched and has happened, until a test says so."""

    socket: Path
    answers: dict[str, Answer] = field(default_factory=_nothing)
    asked: list[Asked] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)
    streaming: threading.Event = field(default_factory=threading.Event)

    def on(self, route: str, answer: Answer | object) -> None:
        """``route`` is ``"GET /v1/status"``."""
        self.answers[route] = answer if isinstance(answer, Answer) else Answer(answer)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    fake: FakeDaemon


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_args: object) -> None:
        """Silence: what was asked is recorded."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        fake = self.server.fake
        url = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        fake.asked.append(Asked(self.command, url.path, query, json.loads(content) if content else None))
        missing = refusal("failed", f"the test has no answer for {self.command} {url.path}", status=404)
        answer = fake.answers.get(f"{self.command} {url.path}", missing)
        if answer.lines is None:
            self._whole(answer)
        else:
            self._stream(answer, answer.lines)

    def _whole(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: Answer, lines: tuple[str, ...]) -> None:
        self.send_response(answer.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self._chunk(f"{line}\n".encode())
        self.server.fake.streaming.set()
        if answer.open_after:
            self.server.fake.ends.wait(60)
        if answer.cut:
            self.close_connection = True
        else:
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        try:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        except BrokenPipeError:  # the client hung up, as Ctrl-C and `| head` do
            self.close_connection = True


@contextmanager
def serving(socket: Path, answers: Mapping[str, object] | None = None) -> Iterator[FakeDaemon]:
    """A fake that listens on ``socket`` while the block runs; it has ``answers`` from the first moment."""
    fake = FakeDaemon(socket)
    for route, answer in (answers or {}).items():
        fake.on(route, answer)
    server = _Server(str(socket), _Handler)
    server.fake = fake
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        fake.ends.set()
        server.shutdown()
        thread.join()
        server.server_close()
        socket.unlink(missing_ok=True)
