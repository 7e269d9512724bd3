"""``POST /v1/estimate`` beside what llama.cpp's own tool printed for the same command lines."""

from pathlib import Path
from typing import Any

import pytest

from domain.units import MIB
from tests.daemon.conftest import Running
from tests.planner import build
from tests.rigs.replica import write_replica

ROWS = [row for row in build.truth()["rows"] if row["model"] in ("qwen3-0.6b", "deepseek-v2-lite")]
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
    assert missing["error"]["message"] == "--model-draft draft.gguf is no file here"
