"""Embedding and reranking models: planned, started and asked as such, by what their headers say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio
from gguf import PoolingType

from catalog.resolved_models import model_of_file
from domain.errors import DoesNotFitError, EngineError, UsageError
from domain.launches.plan import LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import InstalledEngine
from domain.models.kinds import Kind
from domain.models.model import ModelShape, Tensor
from domain.units import MIB
from launchers import llama_cpp
from launchers.base import Capabilities
from launchers.process.engine import EngineProcess
from planner.choose.choose import plan
from planner.llama_cpp.estimate import estimate
from tests.catalog.build import headed
from tests.conftest import ROOT
from tests.planner.build import SMALL_CPU
from tests.rigs.minilm import minilm
from tests.rigs.pooled_models import write_embedding_model, write_reranker

TEXTS = ["what is the capital of france ?", "the capital of france is paris .", "bananas grow on trees ."]
BGE_M3 = {
    "block_count": 24,
    "context_length": 8194,
    "embedding_length": 1024,
    "feed_forward_length": 4096,
    "attention.head_count": 16,
}


def planned(path: Path, **options: object) -> Plan:
    return plan(path.name, (model_of_file(path),), SMALL_CPU, LaunchOptions(**options))  # type: ignore[arg-type]


def flags_of(path: Path) -> LlamaFlags:
    flags = planned(path).flags
    assert isinstance(flags, LlamaFlags)
    return flags


def decoder(path: Path, pooling: int, *, context: int = 16384) -> Path:
    """A model with a KV cache that is made for embeddings, as Qwen3-Embedding is."""
    block = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    tensors = {f"blk.0.{name}.weight": (64, 64) for name in block}
    norms = {f"blk.0.{name}.weight": (64,) for name in ("attn_norm", "ffn_norm")}
    keys = {"context_length": context, "embedding_length": 64, "feed_forward_length": 64, "block_count": 1}
    all_tensors = {"token_embd.weight": (256, 64), **tensors, **norms, "output_norm.weight": (64,)}
    heads = {"attention.head_count": 4, "attention.head_count_kv": 4}
    absolute = {f"qwen3__{key.replace('.', '__')}": value for key, value in heads.items()}
    return headed(path, "qwen3", all_tensors, pooling_type=int(pooling), **keys, **absolute)


def bge_m3() -> ModelShape:
    """Its tensors at F16, with norms and biases at F32, as converted from BAAI/bge-m3."""
    width, inner, layers = 1024, 4096, range(24)
    rows = {"token_embd.weight": (width, 250002), "position_embd.weight": (width, 8194)}
    for block in layers:
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            rows[f"blk.{block}.{name}.weight"] = (width, width)
        rows |= {f"blk.{block}.ffn_up.weight": (width, inner), f"blk.{block}.ffn_down.weight": (inner, width)}
    vectors = {"token_types.weight": width, "token_embd_norm.weight": width, "token_embd_norm.bias": width}
    for block in layers:
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_down"):
            vectors[f"blk.{block}.{name}.bias"] = width
        vectors[f"blk.{block}.ffn_up.bias"] = inner
        for name in ("attn_output_norm", "layer_output_norm"):
            vectors |= {f"blk.{block}.{name}.weight": width, f"blk.{block}.{name}.bias": width}
    tensors = (
        *(Tensor(name, "F16", shape, 2 * shape[0] * shape[1]) for name, shape in rows.items()),
        *(Tensor(name, "F32", (size,), 4 * size) for name, size in vectors.items()),
    )
    metadata = {f"bert.{key}": value for key, value in {**BGE_M3, "pooling_type": 2}.items()}
    return ModelShape("bert", tensors, sum(item.size_bytes for item in tensors), metadata)


def test_an_encoder_takes_no_cache_and_its_weights_once() -> None:
    """llama-server for -c 8192 -ngl 0 -np 1: 1081 MiB of weights, no KV cache, 14 MiB of compute."""
    flags = LlamaFlags(context_tokens=8192, gpu_layers=0, parallel=1)
    box = replace(SMALL_CPU, engines=(InstalledEngine("llama.cpp", "llama-server", "0.10434.0"),))
    [host] = estimate(bge_m3(), flags, box).memory
    assert host.weights_bytes // MIB == 1081
    assert host.kv_cache_bytes == 0
    assert host.compute_bytes // MIB == 14
    assert host.needed_bytes < 1500 * MIB, "no prompt cache"


def test_an_encoder_is_planned_with_a_batch_for_its_longest_text(tmp_path: Path) -> None:
    path = write_embedding_model(tmp_path / "bge-F32.gguf")
    chosen = planned(path)
    flags = flags_of(path)
    assert chosen.weights.kind is Kind.EMBEDDING
    assert (flags.embedding, flags.reranking) == (True, False)
    assert flags.context_tokens == flags.batch == flags.ubatch == 512
    assert flags.cache_ram_mib == flags.ctx_checkpoints == 0
    assert sum(row.kv_cache_bytes for row in chosen.memory) == 0
    assert chosen.speed.decode_tokens_per_s is None
    assert chosen.speed.prefill_tokens_per_s is not None
    assert any("an embedding model, pooling mean by its header" in reason for reason in chosen.reasons)


def test_a_decoder_that_pools_the_last_token_has_a_cache_and_takes_texts_in_pieces(tmp_path: Path) -> None:
    path = decoder(tmp_path / "E-F16.gguf", PoolingType.LAST)
    chosen, flags = planned(path), flags_of(path)
    assert flags.embedding
    assert (chosen.context_tokens, flags.ubatch) == (8192, 512)
    assert sum(row.kv_cache_bytes for row in chosen.memory) > 0
    assert flags.cache_ram_mib == 0
    assert planned(path, context_tokens=16384).context_tokens == 16384


def test_a_decoder_that_ranks_takes_a_text_at_once(tmp_path: Path) -> None:
    flags = flags_of(decoder(tmp_path / "R-F16.gguf", PoolingType.RANK, context=2048))
    assert (flags.embedding, flags.reranking, flags.ubatch, flags.batch) == (False, True, 2048, 2048)


def test_a_model_that_generates_no_tokens_reaches_no_speed_of_them(tmp_path: Path) -> None:
    path = write_reranker(tmp_path / "r-F32.gguf")
    with pytest.raises(UsageError, match="is a reranking model: it generates no tokens"):
        planned(path, min_decode_tokens_per_s=10.0)


def test_a_text_that_is_too_long_for_the_machine_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    path = decoder(tmp_path / "E-F16.gguf", PoolingType.MEAN, context=10_000_000)
    with pytest.raises(DoesNotFitError) as refused:
        planned(path, context_tokens=1_000_000)
    assert refused.value.needs_bytes > (refused.value.has_bytes or 0)


Serve = Callable[[Path], Awaitable[EngineProcess]]


@pytest_asyncio.fixture
async def served(engine: Capabilities, port: int, tmp_path: Path) -> AsyncIterator[Serve]:
    """What a plan of the file starts."""
    async with AsyncExitStack() as stack:

        async def start(path: Path) -> EngineProcess:
            chosen = await asyncio.to_thread(planned, path)
            command = llama_cpp.command(chosen, caps=engine, port=port, name="m")
            process = EngineProcess(command, log_path=tmp_path / "log", diagnose=llama_cpp.diagnose)
            stack.push_async_callback(process.stop)
            return process

        yield start


async def ask(process: EngineProcess, path: str, **body: object) -> list[dict[str, object]]:
    async with httpx.AsyncClient(base_url=process.command.url, trust_env=False, verify=False) as http:  # noqa: S501
        answer = (await http.post(path, json={"model": "m", **body}, timeout=120)).json()
    return answer.get("data") or answer["results"]


@pytest.mark.engine
@pytest.mark.parametrize("pooling", [PoolingType.MEAN, PoolingType.CLS])
async def test_the_real_engine_serves_embeddings_and_proves_them(
    served: Serve, tmp_path: Path, pooling: PoolingType
) -> None:
    process = await served(write_embedding_model(tmp_path / "e-F32.gguf", pooling=pooling))
    if pooling is PoolingType.CLS:  # by hand-made weights the first token knows nothing of the others
        with pytest.raises(EngineError, match="answer is wrong: similarity"):
            await process.ensure_ready(120)
        return
    ready = await process.ensure_ready(120)
    assert ready.proved
    assert ready.decode_tokens_per_s is None
    assert ready.prefill_tokens_per_s
    rows = await ask(process, "/v1/embeddings", input=TEXTS)
    assert [len(row["embedding"]) for row in rows] == [64] * 3  # type: ignore[arg-type]


@pytest.mark.engine
async def test_the_real_engine_ranks_the_passage_that_answers_first(served: Serve, tmp_path: Path) -> None:
    process = await served(write_reranker(tmp_path / "r-F32.gguf"))
    assert (await process.ensure_ready(120)).proved
    rows = await ask(process, "/v1/rerank", query=TEXTS[0], documents=[TEXTS[2], TEXTS[1]])
    assert max(rows, key=lambda row: float(str(row["relevance_score"])))["index"] == 1


@pytest.mark.engine
async def test_vectors_of_zeros_are_no_answer(served: Serve, tmp_path: Path) -> None:
    process = await served(write_embedding_model(tmp_path / "holes-F32.gguf", broken=True))
    with pytest.raises(EngineError, match="the engine's answer is wrong: similarity nan"):
        await process.ensure_ready(120)


@pytest.mark.engine
@pytest.mark.slow
async def test_a_trained_model_puts_texts_of_one_meaning_near(served: Serve) -> None:
    """No word is shared by the question and the text that answers it."""
    path = await asyncio.to_thread(minilm, ROOT / ".cache" / "models")
    process = await served(path)
    assert (await process.ensure_ready(120)).proved
    texts = ["How do I reset my password?", "I forgot my login credentials", "It rains in the mountains"]
    rows = await ask(process, "/v1/embeddings", input=texts)
    question, near, far = (np.asarray(row["embedding"], np.float64) for row in rows)
    assert question.shape == (384,)
    assert question @ near > 0.6
    assert abs(question @ far) < 0.2
