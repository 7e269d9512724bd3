"""Servers on loopback that notifications are sent to: one of HTTP, as bad as it is told, and one of mail."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

ENDLESS_CHUNK = b"x" * 1024 * 1024


@dataclass
class Receiver:
    """``status`` of its answers; ``trouble`` is what it does instead: ``hang``, ``drip`` or ``endless``."""

    status: int = 200
    trouble: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def titles(self) -> list[str]:
        return [body["title"] for body in self.bodies]


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.trouble:
                with suppress(OSError):
                    self.misbehave()
                return
            receiver.paths.append(self.path)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.bodies.append(json.loads(body))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def misbehave(self) -> None:
            if receiver.trouble == "hang":
                receiver.over.wait()
                return
            self.send_response(200)
            self.end_headers()
            while not receiver.over.wait(0.2 if receiver.trouble == "drip" else 0):
                self.wfile.write(b"x" if receiver.trouble == "drip" else ENDLESS_CHUNK)

        def log_message(self, *args: object) -> None:
            """Not among the output of tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    mails: list[Message] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    @property
    def subjects(self) -> list[str]:
        return [str(make_header(decode_header(mail["Subject"]))) for mail in self.mails]

    @property
    def texts(self) -> list[str]:
        """Of each mail its parts, decoded."""
        return [
            "\n".join(_decoded(part) for part in mail.walk() if not part.is_multipart())
            for mail in self.mails
        ]


def _leaves(mail: Message) -> list[Message]:
    return [part for part in mail.walk() if not part.is_multipart()]


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


class _Controller(Controller):
    """On a port that the kernel chose: aiosmtpd's own would ask port 0 whether it is there."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_receiver() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = _Controller(mailbox, hostname="127.0.0.1", port=0, ready_timeout=120)
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()
