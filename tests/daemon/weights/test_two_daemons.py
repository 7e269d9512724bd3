"""Two real daemons with a state each and one store between them, as a service and a user's own may have."""

import json
import os
import shutil
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
from tests.daemon.weights.pulling import closed_window
from tests.rigs import lent_ports
from tests.rigs.hub import Hub

DAEMON = Path(sys.executable).parent / "node-daemon"
TENSORS = {"token_embd.weight": ((4096, 1024), GGMLQuantizationType.Q8_0)}
NAME = "o/toy-GGUF:Q8_0"

pytestmark = pytest.mark.slow  # two daemons, each with a process for its downloads


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub() as running:
        model = gguf_file(tmp_path / "toy-Q8_0.gguf", tensors=TENSORS, quant=7)  # 4 MB
        running.add("o/toy-GGUF", {"toy-Q8_0.gguf": model.read_bytes()})
        yield running


@contextmanager
def daemon(
    home: Path, models_dir: Path, hub: Hub, *, engine: bool = False
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    """Without an ``engine`` nobody asks whether one loads the toy that is pulled: none would."""
    home.mkdir()
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("NODE_DAEMON_", "HF_"))}
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "HF_ENDPOINT": hub.url}
    own |= {"NODE_DAEMON_PORT_FIRST": str(lent_ports.block()[0])}
    own |= {"NODE_DAEMON_PORT_LAST": str(lent_ports.block()[-1])}
    own |= {"NODE_DAEMON_MODELS_DIR": str(models_dir), "HF_HUB_DISABLE_TELEMETRY": "1"}
    own |= {"NODE_DAEMON_LISTEN": "off"} | (
        {} if engine else {"NODE_DAEMON_LLAMA_SERVER": str(home / "none")}
    )
    argv = [DAEMON, "--state-dir", home / "state", "--socket", home / "s"]
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(argv, env={**outside, **own}, stderr=log)
    transport = httpx.HTTPTransport(uds=str(home / "s"), verify=False)
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


def rm(http: httpx.Client, model: str = NAME) -> httpx.Response:
    return http.post("/v1/models/remove", json={"model": model})


def test_what_the_one_fetches_the_other_neither_removes_nor_sweeps(tmp_path: Path, hub: Hub) -> None:
    """Also while its window is closed, when no process of it writes to the part."""
    models_dir = tmp_path / "models"
    hub.faults.hold_after_bytes = [MIB]
    with (
        daemon(tmp_path / "a", models_dir, hub) as (first, _),
        daemon(tmp_path / "b", models_dir, hub) as (second, _),
    ):
        number = pull(first)
        until(lambda: last(first).get("bytes_done"))
        assert second.post("/v1/models/gc", json={"free_bytes": 2**60}).json()["leftovers"] == 0
        first.post(f"/v1/pulls/{number}/cancel").raise_for_status()
        closed = first.post("/v1/pulls", json={"model": NAME, "window": closed_window()}).json()["id"]
        until(lambda: any((row["last"] or {}).get("waiting") for row in first.get("/v1/pulls").json()))
        assert second.post("/v1/models/gc", json={"free_bytes": 2**60}).json()["leftovers"] == 0
        first.post(f"/v1/pulls/{closed}/cancel").raise_for_status()
        assert second.post("/v1/models/gc", json={"free_bytes": 2**60}).json()["leftovers"] == 2


@pytest.mark.engine
def test_what_the_one_serves_the_other_does_not_remove(tmp_path: Path, hub: Hub, smollm2: Path) -> None:
    """Until it is stopped there, or that daemon is gone."""
    models_dir = tmp_path / "models"
    place = models_dir / "url" / "0123456789abcdef"
    place.mkdir(parents=True)
    model = place / "smol-Q4_1.gguf"
    shutil.copy(smollm2, model)
    name = "url/0123456789abcdef:Q4_1"
    with (
        daemon(tmp_path / "a", models_dir, hub, engine=True) as (first, child),
        daemon(tmp_path / "b", models_dir, hub) as (second, _),
    ):
        asked = {"model": str(model), "name": "smol", "threads": 1, "context_tokens": 512}
        assert first.post("/v1/launches", json=asked).status_code == 202
        until(lambda: first.get("/v1/launches/smol").json()["launch"]["state"] == "ready")
        refused = rm(second, name)
        assert refused.status_code == 423
        error = refused.json()["error"]
        assert f"pid {child.pid}, state in {tmp_path}/a/state" in error["message"]
        assert error["hint"] == f"stop it there first: node-ctl --socket {tmp_path}/a/s ps"
        assert second.post("/v1/models/gc", json={"free_bytes": 2**60}).json()["models"] == []
        assert model.exists()
        first.post("/v1/launches/smol/stop", json={}).raise_for_status()
        assert rm(second, name).json()["models"] == [name]
        assert not model.exists()
