"""A model hub on the loopback that answers like the real one: listings, redirects, digests, ranges.

What was copied is behaviour, seen from the real client's side: ``resolve`` redirects to another path
with X-Repo-Commit, X-Linked-Size and X-Linked-Etag; an unknown repository is a 401 with X-Error-Code to a
stranger, a 404 to an account; a gated one is listed for all and hands its files to those whom it knows.
"""

import hashlib
import json
import select
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.rigs.hub_faults import Faults, Request
from tests.rigs.hub_files import LARGE_BYTES, File, Hollow, sha256
from tests.rigs.hub_traffic import Traffic

__all__ = ["LARGE_BYTES", "Faults", "File", "Hollow", "Hub", "Request", "sha256"]


class Hub(Traffic):
    """``with Hub() as hub: hub.add("owner/repo", {"a.gguf": b"..."})``; ``hub.url`` is the endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, dict[str, File]] = {}
        self.blobs: dict[str, File] = {}
        self.requests: list[Request] = []
        self.faults = Faults()
        # what can be asked for: main, each commit, and what a test adds
        self.revisions: dict[str, set[str]] = {}
        self.about: dict[str, dict[str, object]] = {}  # what a search tells of a repository besides
        self.xet: dict[str, str] = {}  # sha256 of a file to the name that xet storage has for it
        self.xet_storage = ""
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        # As the real one, ``resolve`` redirects to another host: the client follows no such redirect
        # when it asks what a file is, and sends no token there.
        self.elsewhere = self.url.replace("127.0.0.1", "localhost")

    def add(self, repo: str, files: Mapping[str, File]) -> str:
        """Publishes a repository; its commit."""
        self.repos[repo] = dict(files)
        self.blobs |= {sha256(data): data for data in files.values()}
        self.revisions.setdefault(repo, {"main"}).add(self.commit(repo))
        return self.commit(repo)

    def commit(self, repo: str) -> str:
        text = "".join(name + sha256(data) for name, data in sorted(self.repos[repo].items()))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def gets(self, part: str) -> list[Request]:
        return [item for item in self.requests if part in item.path and item.method == "GET"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second must not wait

    def do_GET(self) -> None:
        with self.hub.counting():
            self._get()

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, self.path, dict(self.headers)))
        if self.hub.faults.portal:
            self._portal(path)
        elif self.hub.faults.answer_status:
            after = {"Retry-After": self.hub.faults.retry_after} if self.hub.faults.retry_after else {}
            self._answer(self.hub.faults.answer_status.pop(0), after, b"out of order")
        elif "/xet-read-token/" in path:
            self._xet_token()
        elif self._token() in self.hub.faults.bad_tokens:
            self._answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}")
        elif path == "/api/models":
            query = parse_qs(urlsplit(self.path).query)
            self._answer(
                200, {"Content-Type": "application/json"}, json.dumps(search(self.hub, query)).encode()
            )
        elif path.startswith("/api/models/"):
            self._listing(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            self._blob(self.hub.blobs[path.removeprefix("/cdn/")])
        elif "/resolve/" in path:
            self._redirect(path)
        else:
            self._answer(404, {}, b"")

    def _portal(self, path: str) -> None:
        if self.hub.faults.portal == "json":
            self._answer(200, {"Content-Type": "application/json"}, b'{"login": "required"}')
        elif self.hub.faults.portal == "login" and path != "/login":
            self._answer(302, {"Location": f"{self.hub.url}/login"}, b"")
        else:
            self._answer(200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>")

    def log_message(self, *args: object) -> None:
        """Silence: what was asked is in ``hub.requests``."""

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _listing(self, path: str) -> None:
        owner, name, *rest = path.split("/")
        repo = f"{owner}/{name}"
        revision = "/".join(rest[1:]) if rest[:1] == ["revision"] else "main"
        if not self._may_see(repo, revision):
            return
        siblings = [_sibling(name, data) for name, data in self.hub.repos[repo].items()]
        hidden = {"size", "lfs", "blobId"} if self.hub.faults.hides_sizes else set()
        siblings = [{key: item[key] for key in item.keys() - hidden} for item in siblings]
        if "/tree/" in path:
            body: object = [
                {"type": "file", "path": item["rfilename"], "size": item["size"], "oid": item["blobId"]}
                for item in siblings
            ]
        else:
            body = {"id": repo, "sha": self.hub.commit(repo), "siblings": siblings, "private": False}
            body |= {"gated": "manual" if repo in self.hub.faults.gated else False}
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _may_see(self, repo: str, revision: str) -> bool:
        if repo not in self.hub.repos:
            headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._answer(404 if self._token() else 401, headers, b"{}")
        elif revision not in self.hub.revisions[repo]:
            self._answer(
                404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b"{}"
            )
        else:
            return True
        return False

    def _redirect(self, path: str) -> None:
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if not self._may_see(repo, revision):
            return
        if repo in self.hub.faults.gated:
            message = {
                "X-Error-Code": "GatedRepo",
                "X-Error-Message": f"Access to model {repo} is restricted",
            }
            self._answer(403 if self._token() else 401, message, b"{}")
            return
        if name not in self.hub.repos[repo]:
            self._answer(404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        data = self.hub.repos[repo][name]
        headers = {
            "Location": f"{self.hub.elsewhere}/cdn/{sha256(data)}",
            "X-Repo-Commit": self.hub.commit(repo),
            "X-Linked-Size": str(len(data)),
            "X-Linked-Etag": f'"{sha256(data)}"',
        }
        if sha256(data) in self.hub.xet:
            route = f"{self.hub.url}/api/models/{repo}/xet-read-token/{self.hub.commit(repo)}"
            headers |= {"X-Xet-Hash": self.hub.xet[sha256(data)], "X-Xet-Refresh-Route": route}
        self._answer(302, headers, b"")

    def _xet_token(self) -> None:
        """Where xet storage is, and a token for it that lasts long enough."""
        told = {"casUrl": self.hub.xet_storage, "accessToken": "xet", "exp": 4_000_000_000}
        headers = {
            "X-Xet-Cas-Url": self.hub.xet_storage,
            "X-Xet-Access-Token": "xet",
            "X-Xet-Token-Expiration": "4000000000",
        }
        self._answer(200, headers, json.dumps(told).encode())

    def _blob(self, data: File) -> None:
        headers = {"ETag": f'"{sha256(data)}"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        is_other = self.headers.get("If-Range", headers["ETag"]) != headers["ETag"]
        if not wanted or is_other or self.hub.faults.ignore_ranges:
            self._answer(200, headers, data[:])
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            self._answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{self.hub.faults.size_shown or len(data)}"
        self._answer(206, headers, data[start:end])

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.faults.damage and status in (200, 206) and "/cdn/" in self.path:
            self.hub.faults.damage -= 1
            body = bytes([body[0] ^ 1]) + body[1:]
        drops = self.hub.faults.drop_after_bytes
        if drops and status in (200, 206) and "/cdn/" in self.path:
            body = body[: drops.pop(0)]
            self.close_connection = True
        holds = self.hub.faults.hold_after_bytes
        if holds and status in (200, 206) and "/cdn/" in self.path and self._is_to_the_end():
            first_bytes = holds.pop(0)
            self._send(body[:first_bytes])
            body = body[first_bytes:]
            with self.hub.counting(-1):
                if not self._is_let_go():
                    self.close_connection = True
                    return
        self._send(body)

    def _send(self, body: bytes) -> None:
        self.wfile.write(body)
        self.hub.count(len(body))

    def _is_to_the_end(self) -> bool:
        """A download's request; one for a header ends somewhere."""
        return self.headers.get("Range", "-").endswith("-")

    def _is_let_go(self) -> bool:
        """False once the client is gone: it sends nothing before it has its answer."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        while not self.hub.must_go_on():
            if poll.poll(10):
                return False
        return True


def _sibling(name: str, data: File) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + sha256(data).encode(), usedforsecurity=False).hexdigest()
    entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob}
    if len(data) >= LARGE_BYTES:
        entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
    return entry


def search(hub: Hub, query: Mapping[str, list[str]]) -> list[dict[str, object]]:
    """Repositories whose names hold all the words, with every tag of ``filter``, most downloads first."""
    words = query.get("search", [""])[0].lower().split()
    found = [_described(hub, repo) for repo in hub.repos if all(word in repo.lower() for word in words)]
    tags = set(query.get("filter", ()))
    found = [one for one in found if tags <= {str(tag) for tag in _list(one["tags"])}]
    found.sort(key=lambda one: -int(str(one["downloads"])))
    return found[: int(query.get("limit", ["1000"])[0])]


def _described(hub: Hub, repo: str) -> dict[str, object]:
    formats = {"gguf": ".gguf", "safetensors": ".safetensors"}
    tags = [tag for tag, ending in formats.items() if any(name.endswith(ending) for name in hub.repos[repo])]
    about = hub.about.get(repo, {})
    gated = "manual" if repo in hub.faults.gated else False
    entry: dict[str, object] = {"id": repo, "modelId": repo, "downloads": 0, "gated": gated, "private": False}
    return {**entry, **about, "tags": [*tags, *_list(about.get("tags", []))]}


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
