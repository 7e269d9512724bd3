"""``POST /v1/estimate`` beside what llama.cpp's own tool printed for the same command lines."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import data
from daemon.planning.command_line import context_notes
from domain.launches.plan import LlamaFlags
from domain.models.model import ModelShape, ResolvedModel, Source, Weights
from domain.serialization import to_json
from domain.units import MIB
from tests.daemon.conftest import Running
from tests.planner import build
from tests.rigs.replica import write_replica

ROWS = [row for row in build.truth()["rows"] if row["model"] in ("qwen3-0.6b", "deepseek-v2-lite")]
RTX_3090 = to_json(data.profile("rtx-3090"))
CHOSEN = [next(row for row in ROWS if row["gpus"] == gpus) for gpus in (0, 1, 2)]


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['gpus']} GPUs {' '.join(row['args'])}"


@pytest.mark.parametrize("row", CHOSEN, ids=name_of)
async def test_an_estimate_is_what_the_engines_tool_says_to_the_mib(
    daemon: Running, tmp_path: Path, row: dict[str, Any]
) -> None:
    path = write_replica(tmp_path / "replica.gguf", build.shape(row["model"], row["quant"]))
    async with daemon() as api:
        answer = await api.post("/v1/estimate", model=str(path), args=row["args"], gpus=row["gpus"])
    assert answer.status_code == 200, answer.text
    found = {
        "Host" if part["device"] == "host" else part["device"]: {
            "model": part["weights_bytes"] // MIB,
            "context": part["kv_cache_bytes"] // MIB,
            "compute": part["compute_bytes"] // MIB,
        }
        for part in answer.json()["memory"]
    }
    assert found == row["memory_mib"]


async def test_a_draft_model_is_counted_and_one_that_is_not_there_is_said(
    daemon: Running, smollm2: Path
) -> None:
    args = ["-c", "4096", "-np", "1", "-cram", "0"]
    async with daemon() as api:
        alone, both, missing = [
            (await api.post("/v1/estimate", model=str(smollm2), args=[*args, *more])).json()
            for more in ([], ["-md", str(smollm2), "-ngld", "0"], ["-md", "draft.gguf"])
        ]
    own, all_of_it = alone["memory"][-1], both["memory"][-1]
    for part in ("weights_bytes", "kv_cache_bytes", "compute_bytes"):
        assert all_of_it[part] == 2 * own[part]
    assert missing["error"]["code"] == "bad_usage"
    assert missing["error"]["message"] == "--model-draft draft.gguf: there is no such file"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of safetensors, as the hub has them: nine heads, nothing but its shape."""
    made = tmp_path / "a-model"
    made.mkdir()
    header = json.dumps(
        {"model.embed_tokens.weight": {"dtype": "BF16", "shape": [64, 576], "data_offsets": [0, 73728]}}
    )
    (made / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(73728))
    facts = {
        "model_type": "llama",
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    }
    facts |= {
        "hidden_size": 576,
        "max_position_embeddings": 8192,
        "vocab_size": 64,
        "torch_dtype": "bfloat16",
    }
    (made / "config.json").write_text(json.dumps(facts))
    return made


async def test_a_vllm_command_line_is_estimated_as_vllm_lays_it_out(daemon: Running, folder: Path) -> None:
    """46,592 tokens in 1 GiB: the engine's own line, tests/captures/vllm/oom-killed-at-start.log's
    model."""
    args = ["--max-model-len", "2048", "--kv-cache-memory-bytes", "1G", "--dtype", "bfloat16"]
    async with daemon() as api:
        answer = await api.post("/v1/estimate", model=str(folder), args=args)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["engine"] == "vllm"
    assert [row["device"] for row in found["memory"]] == ["host"]
    assert found["memory"][0]["weights_bytes"] == 73728
    assert "KV cache of 46592 tokens in blocks of 128" in " ".join(found["notes"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--tensor-parallel-size", "2"], "9 attention heads"),
        (["--max-model-len", "16384"], "the model has 8192"),
        (["--quantization", "awq"], "not quantized with awq"),
        (["--gpu-memory-utilization", "1.5"], "a share between 0 and 1"),
    ],
)
async def test_what_vllm_would_refuse_is_refused(
    daemon: Running, folder: Path, args: list[str], says: str
) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/estimate", model=str(folder), args=args, engine="vllm")
    error = answer.json()["error"]
    assert (error["code"], says in error["message"]) == ("bad_usage", True)


@pytest.mark.parametrize(
    ("args", "depth", "says"),
    [
        (["-sm", "none", "-mg", "1"], 0, "--main-gpu 1 does not exist: 1 GPUs"),
        (["-c", "4096", "-np", "2", "-no-kvu"], 2049, "has 2048 tokens"),
    ],
)
async def test_what_no_sequence_or_gpu_could_do_is_refused(
    daemon: Running, smollm2: Path, args: list[str], depth: int, says: str
) -> None:
    question = {"model": str(smollm2), "args": args, "on": RTX_3090}
    async with daemon() as api:
        refused = await api.post("/v1/estimate", **question, depth_tokens=depth)
        taken = await api.post(
            "/v1/estimate", model=str(smollm2), args=args[:2], on=RTX_3090, depth_tokens=2048
        )
    error = refused.json()["error"]
    assert (error["code"], says in error["message"]) == ("bad_usage", True)
    assert taken.status_code == 200, taken.text


@pytest.mark.parametrize(
    ("args", "given"),
    [
        pytest.param("-c 99999999999", 99999999999, id="absurd"),
        pytest.param("-c 8193", 8193, id="one more"),
        pytest.param("-c 65536 -np 4 -no-kvu", 16384, id="of each of four"),
        pytest.param("-c 32768 -np 4 -no-kvu", None, id="four that are not longer"),
        pytest.param("-c 8192", None, id="as trained"),
        pytest.param("", None, id="not asked for"),
    ],
)
async def test_a_context_longer_than_trained_for_is_noted(
    daemon: Running, smollm2: Path, args: str, given: int | None
) -> None:
    async with daemon() as api:
        found = await api.post("/v1/estimate", model=str(smollm2), args=args.split(), on=RTX_3090)
    notes = [note for note in found.json()["notes"] if "trained" in note]
    said = f"the model was trained for a context of 8192 tokens, and each sequence gets {given}"
    assert notes == ([said] if given else [])


def test_of_a_header_that_does_not_tell_its_context_nothing_is_noted() -> None:
    shape = ModelShape("llama", (), 0, {"llama.block_count": 1})
    own = ResolvedModel(Weights(Source.FILE, "m", None, (), "", 0), shape)
    assert context_notes(own, LlamaFlags(context_tokens=10**9)) == ()


async def test_options_of_the_other_engine_are_told_by_its_name(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/estimate", model=str(smollm2), args=["--max-model-len", "2048"])
    assert answer.json()["error"]["hint"] == "these are options of vllm: add --engine vllm"


async def test_an_estimate_takes_the_quant_that_a_plan_takes_and_says_so(daemon: Running) -> None:
    async with daemon() as api:
        on = RTX_3090
        plan = (await api.post("/v1/plan", model="qwen3-32b", on=on)).json()
        found = (await api.post("/v1/estimate", model="qwen3-32b", on=on, args=["-c", "4096"])).json()
        named = (await api.post("/v1/estimate", model="qwen3-32b:Q4_K_M", on=on, args=["-c", "4096"])).json()
    quant = plan["weights"]["quant"]
    assert any(
        f"{quant}, which a plan would choose; qwen3-32b:QUANT selects another" in one
        for one in found["notes"]
    )
    assert any(note.endswith("Q4_K_M") for note in named["notes"])


async def test_flags_whose_cache_the_engine_refuses_are_refused(daemon: Running, tmp_path: Path) -> None:
    """Where it would not say so but end: heads of 80 values, blocks of 32."""
    shape = build.shape("qwen3-0.6b", "Q8_0")
    keys = {"qwen3.attention.key_length": 80, "qwen3.attention.value_length": 80}
    odd = replace(shape, metadata={**shape.metadata, **keys})
    path = str(write_replica(tmp_path / "odd.gguf", odd))
    plain = str(write_replica(tmp_path / "plain.gguf", shape))
    quantized = ["-c", "4096", "-np", "1", "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"]
    async with daemon() as api:
        refused = (await api.post("/v1/estimate", model=path, args=quantized, gpus=0)).json()["error"]
        assert (await api.post("/v1/estimate", model=path, args=["-c", "4096"], gpus=0)).status_code == 200
        draft = ["-md", path, "-ctkd", "q8_0"]
        second = (await api.post("/v1/estimate", model=plain, args=draft, gpus=0)).json()["error"]
    assert refused["code"] == second["code"] == "bad_usage"
    assert "blocks of 32 values, which do not divide heads of 80 values" in refused["message"]
    assert "would choose f16" in refused["hint"]
    assert "the draft model's KV cache" in second["message"]
