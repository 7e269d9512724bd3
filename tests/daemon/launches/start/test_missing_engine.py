"""A model for an engine that is not installed: how to get it. And a wish reaches who looks for weights."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.request import ModelRequest
from daemon.app import Adapters
from daemon.isolation.models import ModelSources
from domain.launches.plan import VLLM
from domain.models.model import ResolvedModel
from launchers import registry
from launchers.base import SearchPaths
from tests.catalog.build import safetensors
from tests.daemon.conftest import Api

Daemon = Callable[..., AbstractAsyncContextManager[Api]]
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "vocab_size": 100,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "st"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(safetensors({"x": ("BF16", (4096,), 8192)}))
    return folder


@pytest.fixture
def without_vllm(adapters: Adapters) -> Adapters:
    nowhere = SearchPaths(search_path="")
    launchers = {**adapters.launchers, VLLM: registry.LAUNCHERS[VLLM]}
    return replace(adapters, launchers=launchers, engine=lambda name: registry.choose(name, nowhere))


async def test_a_plan_and_a_launch_say_how_to_get_vllm(
    daemon: Daemon, without_vllm: Adapters, folder: Path
) -> None:
    async with daemon(without_vllm) as api:
        plan = (await api.post("/v1/plan", model=str(folder))).json()
        assert plan["engine"] == VLLM
        assert any("no vllm is installed: make setup-vllm" in reason for reason in plan["reasons"])
        name = await api.launch(folder)
        last = (await api.progress(name))[-1]
        assert "no vllm is installed" in last["message"]
        assert "make setup-vllm" in json.dumps(last)


async def test_a_wished_quality_is_told_to_who_looks_for_weights(
    daemon: Daemon, adapters: Adapters, smollm2: Path
) -> None:
    wished: list[object] = []

    async def recorded(sources: ModelSources, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        wished.append(request.quality)
        return await adapters.resolve(sources, request)

    async with daemon(replace(adapters, resolve=recorded)) as api:
        await api.post("/v1/plan", model=str(smollm2), quality="Q4_1")
    assert wished == ["Q4_1"]
