"""``node-ctl launch FOLDER --engine vllm``: served, answering, and gone when stopped."""

import json
import re
import time
import urllib.request
from typing import Any

import pytest

from launchers.readiness import QUESTION
from tests.vllm.conftest import MODELS, Daemon, session, wait_until

pytestmark = pytest.mark.vllm


def chat(endpoint: str, model: str) -> str:
    question = [{"role": "user", "content": QUESTION}]
    body = {"model": model, "messages": question, "max_tokens": 30, "temperature": 0}
    request = urllib.request.Request(
        f"{endpoint}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def estimated(daemon: Daemon, folder: str) -> Any:
    """Of the command that a plan of this folder gives."""
    path = str(MODELS / folder)
    argv = daemon.ctl("plan", path, "--engine", "vllm", "--context", "2048")["argv"]
    options = argv[argv.index("--dtype") :]
    return daemon.ctl("estimate", path, "--engine", "vllm", "--", *options)


@pytest.mark.parametrize("folder", ["smollm2-135m", "smollm2-135m-awq"], ids=["bf16", "AWQ"])
def test_a_folder_is_served_and_a_stop_leaves_no_process(daemon: Daemon, folder: str):
    daemon.ctl("launch", str(MODELS / folder), "--engine", "vllm", "--name", folder, "--context", "2048")
    row = daemon.launch(folder)
    assert (row["state"], row["engine"]) == ("ready", "vllm")
    assert row["decode_tokens_per_s"] > 1
    assert "Paris" in chat(row["endpoint"], folder)
    assert len(session(row["pid"])) > 1, "vLLM is more than one process"

    holds = re.search(r"KV cache size: ([\d,]+) tokens", daemon.log(folder))
    assert holds is not None
    said = " ".join(estimated(daemon, folder)["notes"])
    assert f"KV cache of {holds[1].replace(',', '')} tokens" in said

    stopped = daemon.ctl("stop", folder)
    assert stopped["state"] == "stopped"
    assert session(row["pid"]) == []


def test_a_stop_during_the_start_leaves_no_process(daemon: Daemon):
    """The hard moment: SIGTERM would be swallowed here, and leave the engine core behind."""
    daemon.ctl("launch", str(MODELS / "smollm2-135m"), "--engine", "vllm", "--name", "early", "--no-wait")
    wait_until(lambda: daemon.launch("early")["pid"] is not None, "a process", 60)
    leader = daemon.launch("early")["pid"]
    wait_until(lambda: len(session(leader)) > 2, "vLLM has started its engine core", 120)
    began = time.monotonic()
    assert daemon.ctl("stop", "early")["state"] == "stopped"
    assert session(leader) == []
    assert time.monotonic() - began < 60


def test_the_command_gives_the_cache_in_bytes_and_not_as_a_share(daemon: Daemon):
    plan = daemon.ctl("plan", str(MODELS / "smollm2-135m"), "--engine", "vllm", "--context", "2048")
    assert "--kv-cache-memory-bytes" in plan["argv"]
    assert "--gpu-memory-utilization" not in plan["argv"]
