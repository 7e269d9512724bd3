"""``node-ctl search``: what it asks of the daemon, and the table it prints."""

import json

from domain.models.search_result import SearchResult
from domain.serialization import to_json
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon, refusal

FOUND = [
    SearchResult(
        "Qwen/Qwen3-8B",
        ("safetensors",),
        2_400_000,
        8_190_735_360,
        16_381_470_720,
        "apache-2.0",
        True,
        "qwen3-8b",
    ),
    SearchResult("me/Qwen3-8B-GGUF", ("gguf",), 950),
]


def test_words_become_one_question(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/search", [])
    out = ctl("search", "qwen3", "8b", "--format", "gguf", "--limit", "5").stdout
    assert daemon.asked[-1].body == {"words": "qwen3 8b", "limit": 5, "formats": ["gguf"]}
    assert out == "no model on the hub matches 'qwen3 8b': try fewer words\n"


def test_a_line_for_each_repository(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/search", to_json(FOUND))
    lines = ctl("search", "qwen3").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "FORMAT", "DOWNLOADS", "PARAMETERS", "SIZE", "LICENCE", "ALIAS"]
    assert lines[1] == (
        "Qwen/Qwen3-8B     safetensors      2.4 M       8.2 B  15.3 GiB  apache-2.0, gated  qwen3-8b"
    )
    assert lines[2] == "me/Qwen3-8B-GGUF  gguf               950"


def test_json_is_what_the_daemon_said(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/search", to_json(FOUND))
    assert json.loads(ctl("search", "qwen3", "--json").stdout) == to_json(FOUND)


def test_offline_is_said(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/search", refusal("download_failed", "offline is set", status=502))
    done = ctl("search", "qwen3")
    assert (done.returncode, done.stderr) == (7, "node-ctl: offline is set\n")


def test_an_empty_search_is_refused(ctl: Ctl, daemon: FakeDaemon) -> None:
    done = ctl("search", " ")
    assert (done.returncode, daemon.asked) == (2, [])
    assert "the search is empty" in done.stderr
