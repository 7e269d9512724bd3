"""Two real daemons with a state each and one store between them, as a service and a user's own may have."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gguf import GGMLQuantizationType

from domain.units import MIB
from tests.catalog.build import gguf_file
from tests.rigs.hub import Hub

DAEMON = Path(sys.executable).parent / "node-daemon"
TENSORS = {"token_embd.weight": ((4096, 1024), GGMLQuantizationType.Q8_0)}
NAME = "o/toy-GGUF:Q8_0"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub() as running:
        model = gguf_file(tmp_path / "toy-Q8_0.gguf", tensors=TENSORS, quant=7)  # 4 MB
        running.add("o/toy-GGUF", {"toy-Q8_0.gguf": model.read_bytes()})
        yield running


@contextmanager
def daemon(
    home: Path, models_dir: Path, hub: Hub
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    home.mkdir()
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("NODE_DAEMON_", "HF_"))}
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "HF_ENDPOINT": hub.url}
    own |= {"NODE_DAEMON_MODELS_DIR": str(models_dir), "HF_HUB_DISABLE_TELEMETRY": "1"}
    argv = [DAEMON, "--state-dir", home / "state", "--socket", home / "s"]
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(argv, env={**outside, **own}, stderr=log)
    transport = httpx.HTTPTransport(uds=str(home / "s"))
    try:
        with httpx.Client(transport=transport, base_url="http://node-daemon", timeout=60) as http:
            until((home / "s").exists)
            http.get("/v1/probe").raise_for_status()  # the first look at a machine takes seconds
            yield http, child
    finally:
        child.terminate()
        child.wait()


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not check():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def pull(http: httpx.Client) -> int:
    answer = http.post("/v1/pulls", json={"model": NAME})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


def last(http: httpx.Client) -> dict[str, Any]:
    (row,) = http.get("/v1/pulls").json()
    return dict(row["last"] or {})


def ended(http: httpx.Client, number: int) -> dict[str, Any]:
    return dict(json.loads(http.get(f"/v1/pulls/{number}/progress").text.splitlines()[-1]))


def test_one_fetches_both_have_it(tmp_path: Path, hub: Hub) -> None:
    models_dir = tmp_path / "models"
    hub.faults.hold_after_bytes = [MIB]
    with (
        daemon(tmp_path / "a", models_dir, hub) as (first, _),
        daemon(tmp_path / "b", models_dir, hub) as (second, _),
    ):
        begun = pull(first)
        until(lambda: last(first).get("bytes_done"))
        joined = pull(second)
        until(lambda: last(second).get("waiting") == "another process fetches it")
        hub.go_on()
        for http, number in ((first, begun), (second, joined)):
            assert ended(http, number)["step"] == "done"
            (row,) = http.get("/v1/models").json()
            assert row["model"] == NAME
        assert len(hub.gets("/cdn/")) - headers_read(hub) == 1, "one download"
    assert not list(models_dir.rglob("*.incomplete"))


def test_where_the_one_that_fetches_is_killed_the_other_goes_on(tmp_path: Path, hub: Hub) -> None:
    models_dir = tmp_path / "models"
    hub.faults.hold_after_bytes = [MIB]
    with daemon(tmp_path / "b", models_dir, hub) as (second, _):
        with daemon(tmp_path / "a", models_dir, hub) as (first, child):
            pull(first)
            until(lambda: last(first).get("bytes_done"))
            number = pull(second)
            until(lambda: last(second).get("waiting"))
            child.kill()
        assert ended(second, number)["step"] == "done"
        assert hub.gets("/cdn/")[-1].headers["Range"].endswith("-"), "from where the other one stopped"
        assert hub.gets("/cdn/")[-1].headers["Range"] != "bytes=0-"


def headers_read(hub: Hub) -> int:
    """Ranges with an end are of headers, for plans; a download asks to the end."""
    return sum(not item.headers.get("Range", "-").endswith("-") for item in hub.gets("/cdn/"))
