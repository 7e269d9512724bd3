"""Publishes a signed catalogue on loopback, and does what servers do wrong."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nacl.signing import SigningKey

from catalog.feed.signed_file import signed

SEED = bytes(32)  # of a key for tests: no daemon trusts it by itself
PUBLIC = base64.b64encode(bytes(SigningKey(SEED).verify_key)).decode()
ENTRY = '\n[{alias}]\ntitle = "{title}"\narchitecture = "llama"\ngguf_repos = ["me/{alias}-GGUF"]\n'


def text_of(version: int, *aliases: str, title: str = "New", head: str = "") -> str:
    entries = "".join(ENTRY.format(alias=alias, title=title) for alias in aliases)
    return f"version = {version}\ndate = 2026-12-01\n{head}{entries}"


@dataclass
class CatalogueServer:
    """``body`` is what it answers. ``endless`` sends zeros until the client goes."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    asked: int = 0
    sent_bytes: int = 0

    def as_made(self) -> None:
        self.status, self.body, self.headers, self.endless = 200, b"", {}, False

    def publish(self, text: str, *, seed: bytes = SEED) -> None:
        self.body = signed(text.encode(), seed)


@contextmanager
def publishing() -> Iterator[CatalogueServer]:
    published = CatalogueServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked += 1
            self.send_response(published.status)
            for name, value in published.headers.items():
                self.send_header(name, value)
            if not published.endless and "Content-Length" not in published.headers:
                self.send_header("Content-Length", str(len(published.body)))
            self.end_headers()
            try:
                self.wfile.write(published.body)
                while published.endless:
                    published.sent_bytes += self.wfile.write(bytes(65536))
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    published.url = f"http://127.0.0.1:{server.server_port}/catalogue.signed"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield published
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
