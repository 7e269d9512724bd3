"""What is offered where no model has the name: by words, what fits here, trusted publishers first."""

from pathlib import Path

from config import data
from config.settings import Settings
from daemon.weights.offers import ranked, with_all
from domain.models.search_result import SearchResult
from tests.catalog.build import headed
from tests.daemon.conftest import Running
from tests.rigs.hub import Hub

MODEL = {"blk.0.attn_q.weight": (64, 64), "blk.0.ffn_up.weight": (128, 64), "token_embd.weight": (256, 64)}


def test_every_trusted_publisher_has_a_reason() -> None:
    assert {"ggml-org", "unsloth", "bartowski"} <= set(data.publishers())
    assert all(data.publishers().values())


def test_trusted_publishers_come_first_and_each_model_once() -> None:
    found = [
        SearchResult("somebody/Tern-9B-GGUF", ("gguf",), 9_000_000),
        SearchResult("bartowski/acme_Tern-9B-GGUF", ("gguf",), 500),
        SearchResult("somebody/Tern-9B-wild-GGUF", ("gguf",), 70),
        SearchResult("unsloth/Tern-9B-GGUF", ("gguf",), 3),
        SearchResult("other/Tern-9B-tame-GGUF", ("gguf",), 80),
    ]
    order = [result.repo for result in ranked(found, data.publishers())]
    assert order == ["unsloth/Tern-9B-GGUF", "other/Tern-9B-tame-GGUF", "somebody/Tern-9B-wild-GGUF"]


def test_aliases_with_all_the_words_are_named() -> None:
    catalogue = data.catalogue()
    assert "qwen3-coder-30b-a3b" in with_all("qwen3 coder", catalogue)
    assert with_all("no such words", catalogue) == ()
    assert with_all("  ", catalogue) == ()


async def test_the_hub_is_searched_and_what_fits_comes_first(
    daemon: Running, settings: Settings, hub: Hub, tmp_path: Path
) -> None:
    small = headed(tmp_path / "Tern-Q8_0.gguf", "llama", MODEL, block_count=1, embedding_length=64)
    hub.add("unsloth/Tern-9B-GGUF", {"Tern-9B-Q8_0.gguf": small.read_bytes()})
    hub.add("me/Tern-Draft-GGUF", {"notes-Q4_0.gguf": b"no model at all"})
    async with daemon(of=settings.model_copy(update={"offline": False})) as api:
        found = (await api.post("/v1/offers", model="tern")).json()
        assert [offer["repo"] for offer in found["hub"]] == ["unsloth/Tern-9B-GGUF", "me/Tern-Draft-GGUF"]
        first, second = found["hub"]
        assert first["trusted"]
        assert (first["why_not"], second["quant"]) == ("", None)
        assert "not a usable GGUF file" in second["why_not"] or "no usable" in second["why_not"]
        assert (await api.post("/v1/offers", model="qwen3-8b")).json()["known"] is True
        assert (await api.post("/v1/offers", model="../x")).status_code == 422
        assert await api.get("/v1/launches") == []


async def test_offline_says_so_with_what_the_catalogue_has(daemon: Running, settings: Settings) -> None:
    async with daemon(of=settings.model_copy(update={"offline": True})) as api:
        found = (await api.post("/v1/offers", model="qwen3 coder")).json()
        assert "offline is set" in found["problem"]
        assert "qwen3-coder-30b-a3b" in found["aliases"]
        assert found["hub"] == []
