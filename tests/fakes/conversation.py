"""An engine that keeps what it is asked, and answers with the length of the conversation."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ConversationEngine(ThreadingHTTPServer):
    """Answers each conversation with its length, after a thought; refuses one that says "refuse",
    and ends in the middle of the answer to one that says "break off"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[Any] = []

    @property
    def said(self) -> list[list[str]]:
        """The messages of each request."""
        return [[message["content"] for message in body["messages"]] for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    server: ConversationEngine

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        refused = body["messages"][-1]["content"] == "refuse"
        self.send_response(400 if refused else 200)
        self.end_headers()
        if refused:
            self.wfile.write(b'{"error": {"message": "the context is full"}}')
            return
        for delta in (
            {"reasoning_content": "hm"},
            {"content": f"{len(body['messages'])} "},
            {"content": "é"},
        ):
            chunk = {"choices": [{"delta": delta}], "usage": {"completion_tokens": 3}}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        if body["messages"][-1]["content"] != "break off":
            self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args: object) -> None:
        """Silence: what was asked is recorded."""
