"""``node-ctl launch`` of embedding and reranking models on the real vLLM: served, asked, stopped.

The models are made here with random weights (tests/rigs/vllm/pooled.py): this shows that each is served as
what it is, not how well a trained one answers.
"""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from launchers.pooled_answers import FAR, NEAR, QUESTION
from planner.vllm.pooling import QWEN3_TEMPLATE
from tests.vllm.conftest import ROOT, VLLM, Daemon

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pooled")
    command = [VLLM.parent / "python", ROOT / "tests/rigs/vllm/pooled.py", place, QWEN3_TEMPLATE]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return place


def post(row: Any, path: str, **body: object) -> Any:
    request = urllib.request.Request(
        f"{row['endpoint']}{path}",
        json.dumps({"model": row["name"], **body}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("name", "keeps_cache"), [("bert-embedding", False), ("qwen3-embedding", True)], ids=["BERT", "Qwen3"]
)
def test_an_embedding_model_answers_with_vectors(
    daemon: Daemon, folders: Path, name: str, keeps_cache: bool
) -> None:
    daemon.ctl("launch", str(folders / name), "--engine", "vllm", "--name", name)
    row = daemon.launch(name)
    assert (row["state"], row["engine"]) == ("ready", "vllm")
    rows = post(row, "/v1/embeddings", input=[QUESTION, NEAR])["data"]
    assert [len(item["embedding"]) for item in rows] == [64, 64]
    assert ("GPU KV cache size" in daemon.log(name) or "KV cache size" in daemon.log(name)) is keeps_cache
    assert daemon.ctl("stop", name)["state"] == "stopped"


@pytest.mark.parametrize("name", ["roberta-reranker", "qwen3-reranker"])
def test_a_reranker_answers_with_scores(daemon: Daemon, folders: Path, name: str) -> None:
    """The second one was trained to answer yes or no: its score is the odds of that."""
    daemon.ctl("launch", str(folders / name), "--engine", "vllm", "--name", name)
    scores = post(daemon.launch(name), "/v1/rerank", query=QUESTION, documents=[FAR, NEAR])["results"]
    assert [item["index"] for item in scores] == [1, 0]
    assert daemon.ctl("stop", name)["state"] == "stopped"
