"""The main job through the front door: real daemon, real llama-server, real weights, node-ctl alone."""

import json
from pathlib import Path

import pytest

from tests.ctl.conftest import Ctl


@pytest.mark.engine
@pytest.mark.slow
def test_a_model_is_launched_asked_found_again_and_stopped(owner: Ctl, smollm2: Path) -> None:
    launched = owner("launch", str(smollm2), "--name", "smol", "--context", "2048")
    assert launched.returncode == 0, launched.stderr
    assert "started node-daemon" in launched.stderr
    heads = [line.split()[0] for line in launched.stdout.splitlines() if line]
    assert heads.index("ready") < heads.index("model")
    assert {"engine", "context", "memory", "speed", "measured", "endpoint", "curl"} <= set(heads)
    assert "Paris" in launched.stdout

    asked = owner("ask", "Name the capital of France.", "--json")
    answer = json.loads(asked.stdout)
    assert "Paris" in answer["answer"]
    assert answer["tokens_per_s"] > 1

    again = owner("launch", str(smollm2), "--name", "smol", "--context", "2048")
    assert again.returncode == 0
    assert "smol is already served" in again.stderr

    [row] = json.loads(owner("ps", "--json").stdout)
    assert (row["name"], row["state"], row["context_tokens"]) == ("smol", "ready", 2048)
    assert Path(f"/proc/{row['pid']}").exists()
    assert owner("logs", "smol", "-n", "5").stdout.count("\n") == 5

    builds = json.loads(owner("engines", "--json").stdout)
    assert [build["used_by"] for build in builds if build["is_default"] and build["used_by"]] == [["smol"]]

    assert owner("stop", "smol").stdout == "smol is stopped\n"
    assert not Path(f"/proc/{row['pid']}").exists()
    assert owner("ask", "smol", "?").returncode == 1


@pytest.mark.engine
def test_what_can_not_be_served_is_refused_before_anything_is_fetched(owner: Ctl, tmp_path: Path) -> None:
    del owner.env["NODE_DAEMON_OFFLINE"]  # it would keep anything from being fetched
    owner.env["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody is there: a wheel stands in, which could be had
    models = owner.home / "models"
    owner.env["NODE_DAEMON_MODELS_DIR"] = str(models)
    large = owner("launch", "smollm2-135m", "--context", "8192", "--parallel", "1024", "--json")
    assert large.returncode == 4
    assert "smollm2-135m" in json.loads(large.stdout)["error"]["message"]
    assert not any(path.is_file() for path in models.rglob("*"))

    unknown = owner("plan", "smollm2-153m")
    assert unknown.returncode == 3
    assert "smollm2-135m" in unknown.stderr

    text = tmp_path / "notes.gguf"
    text.write_text("not a model")
    bad = owner("launch", str(text))
    assert bad.returncode == 1
    assert bad.stderr.splitlines()[-1].startswith("node-ctl: notes.gguf is not a usable GGUF file")
