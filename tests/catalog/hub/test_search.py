"""A search of the hub, by the real client."""

import socket

import pytest

from catalog.hub.errors import UnavailableError
from catalog.hub.search import search
from config.data import catalogue
from domain.errors import DownloadError, UsageError
from domain.models.search_result import SearchResult
from tests.rigs.hub import Hub

CATALOGUE = catalogue()


def found(words: str, **options: object) -> tuple[SearchResult, ...]:
    return search(words, catalogue=CATALOGUE, **{"limit": 20, **options})  # type: ignore[arg-type]


@pytest.fixture
def published(hub: Hub) -> Hub:
    hub.add("unsloth/Qwen3-32B-GGUF", {"Qwen3-32B-Q8_0.gguf": b"x"})
    hub.about["unsloth/Qwen3-32B-GGUF"] = {
        "downloads": 250_000,
        "tags": ["license:apache-2.0"],
        "gguf": {"total": 32_762_123_264, "architecture": "qwen3"},
    }
    hub.add("Qwen/Qwen3-32B", {"model.safetensors": b"x", "model.gguf": b"x"})
    hub.about["Qwen/Qwen3-32B"] = {
        "downloads": 900_000,
        "safetensors": {"parameters": {"BF16": 1000, "F8_E4M3": 500}, "total": 1500},
    }
    hub.faults.gated.add("Qwen/Qwen3-32B")
    hub.add("someone/qwen3-notes", {"README.md": b"x"})
    hub.add("someone/other-gguf", {"x.gguf": b"x"})
    return hub


@pytest.mark.usefixtures("published")
def test_what_engines_here_load_is_listed_the_most_downloaded_first() -> None:
    assert found("qwen3 32b") == (
        SearchResult(
            "Qwen/Qwen3-32B",
            ("gguf", "safetensors"),
            downloads=900_000,
            parameters=1500,
            size_bytes=2500,
            gated=True,
            alias="qwen3-32b",
        ),
        SearchResult(
            "unsloth/Qwen3-32B-GGUF",
            ("gguf",),
            downloads=250_000,
            parameters=32_762_123_264,
            licence="apache-2.0",
            gated=False,
            alias="qwen3-32b",
        ),
    )


@pytest.mark.usefixtures("published")
def test_a_format_and_a_limit_narrow_it() -> None:
    assert [result.repo for result in found("qwen3", formats=["safetensors"])] == ["Qwen/Qwen3-32B"]
    assert [result.repo for result in found("qwen3", limit=1)] == ["Qwen/Qwen3-32B"]
    assert found("no such words") == ()


def test_what_the_hub_does_not_say_stays_unknown(published: Hub) -> None:
    published.about["Qwen/Qwen3-32B"] = {
        "downloads": None,
        "gated": None,
        "safetensors": {"parameters": {"Q9": 5}, "total": 5},
    }
    published.about["Qwen/Qwen3-32B"]["downloads"] = 0
    (result,) = found("qwen/qwen3-32b")
    assert (result.size_bytes, result.licence, result.gated) == (None, None, None)


def test_a_name_that_is_none_is_not_listed(published: Hub) -> None:
    published.add("evil/\x1b[2Jqwen3", {"x.gguf": b"x"})
    assert all(result.repo.isprintable() for result in found("qwen3"))


def test_no_words_are_no_search() -> None:
    with pytest.raises(UsageError, match="nothing to search for"):
        found("  ")


def test_a_hub_that_refuses_is_told(published: Hub) -> None:
    published.faults.answer_status += [429] * 20
    with pytest.raises(DownloadError, match="refuses more requests"):
        found("qwen3")


def test_a_hub_that_is_down_is_asked_once(published: Hub) -> None:
    published.faults.answer_status += [503] * 20
    published.requests.clear()
    with pytest.raises(UnavailableError):
        found("qwen3")
    assert len(published.requests) == 1


def test_a_hub_that_accepts_and_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.hub.search.ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=8) as deaf:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(UnavailableError, match="does not answer"):
            found("qwen3")


@pytest.mark.usefixtures("silent_hub")
def test_a_hub_that_does_not_answer_is_told() -> None:
    with pytest.raises(DownloadError, match="does not answer"):
        found("qwen3")
