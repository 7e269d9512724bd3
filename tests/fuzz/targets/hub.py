"""What a hub answers: listings of a repository, results of a search, and the cache that keeps both."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import set_client_factory

from catalog.formats import registry
from catalog.formats.header_limits import check_shape
from catalog.hub import client, search
from catalog.hub.cache import Cache
from catalog.hub.tree import HubTree
from domain.errors import NodeError
from domain.serialization import to_json
from tests.fuzz.mutation import json_mutation
from tests.fuzz.sources import json_object

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 16384
REPO, COMMIT = "owner/name", "0123456789abcdef0123456789abcdef01234567"
FILES = (
    "M-Q4_K_M.gguf",
    "M-Q8_0-00001-of-00002.gguf",
    "M-Q8_0-00002-of-00002.gguf",
    "mmproj-F16.gguf",
    "config.json",
)
LISTING = {
    "id": REPO,
    "sha": COMMIT,
    "gated": False,
    "private": False,
    "downloads": 7,
    "tags": ["gguf", "license:mit"],
    "lastModified": "2026-01-02T03:04:05.000Z",
    "cardData": {"license": "mit"},
    "gguf": {"total": 7},
    "siblings": [
        {
            "rfilename": name,
            "size": 1000 + number,
            "blobId": "a" * 40,
            "lfs": {"size": 1000, "sha256": "b" * 64, "pointerSize": 1},
        }
        for number, name in enumerate(FILES)
    ],
}
FOUND = {
    "id": REPO,
    "downloads": 10,
    "gated": "auto",
    "tags": ["gguf", "license:mit"],
    "gguf": {"total": 1},
    "safetensors": {"parameters": {"BF16": 1000}, "total": 1000},
}
SHAPE = {
    "architecture": "llama",
    "tensors": [["x", "F32", [4, 4], 64]],
    "file_bytes": 64,
    "metadata": {"llama.block_count": 1, "a": [1, 2]},
    "array_lengths": {"tokenizer.ggml.tokens": 5000},
}
CACHED = {
    "at": "2026-01-02T03:04:05+00:00",
    "listing": {"repo": REPO, "commit": COMMIT, "files": [{"name": "a.gguf"}]},
}
_mutate_json = json_mutation(
    (*LISTING, *FOUND, "rfilename", "size", "lfs", "sha256", "../x", "/etc/x", "a\\b", "manual")
)


def seeds() -> Iterator[bytes]:
    for part in ({"listing": LISTING}, {"found": [FOUND, FOUND]}, {"shape": SHAPE}, {"cached": CACHED}):
        yield json.dumps(part).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_json(data, rng)


def run(data: bytes) -> None:
    """By its key the input is the body of one answer; one that is no JSON is the body of both."""
    given = json_object(data)
    if given is None:
        _list(data)
        _search(data)
        return
    for key, use in {"listing": _list, "found": _search, "shape": _shape, "cached": _cached}.items():
        if key in given:
            use(json.dumps(given[key]).encode())


class Hub:
    """Answers every request with ``body``."""

    body = b""

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.answer))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, content=self.body, headers={"content-type": "application/json"}, request=request
        )


class Kept(Cache):
    """A cache with one entry."""

    entry: Any = None

    def _read(self, key: str) -> Any:
        return self.entry


HUB, KEPT = Hub(), Kept(Path("/nonexistent"))
set_client_factory(HUB.client)


def _list(body: bytes) -> None:
    HUB.body = body
    listing = client.list_files(REPO)
    registry.complete_quants(HubTree(listing))
    json.dumps(to_json(listing)).encode()


def _search(body: bytes) -> None:
    HUB.body = body
    found = search.search("words", catalogue={}, limit=20)
    json.dumps([to_json(result) for result in found]).encode()


def _shape(body: bytes) -> None:
    KEPT.entry = json.loads(body)
    if shape := KEPT.shape(("a",)):
        check_shape("cached", shape)


def _cached(body: bytes) -> None:
    KEPT.entry = json.loads(body)
    if found := KEPT.listing(REPO, None):
        registry.complete_quants(HubTree(found[0]))
