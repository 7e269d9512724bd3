"""What an engine refuses ends a plan, an estimate and a launch before the weights are fetched."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.data import catalogue, profile
from config.settings import Settings
from daemon.app import Adapters, real_adapters
from domain.errors import EngineRefusedError, Refused
from domain.launches.plan import LLAMA_CPP, LlamaFlags
from domain.machine.hardware import InstalledEngine
from domain.serialization import to_json
from domain.units import MIB
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import DeviceUsage, DryRunReport
from tests.daemon.conftest import FAKE, Running, fork_server
from tests.daemon.weights.pulling import ended
from tests.planner import build
from tests.rigs.hub import Hollow, Hub
from tests.rigs.replica import write_replica

LINE = "llama_model_load: error loading model: unknown model architecture: 'x'"
SECOND = "/opt/newer/llama-server"
KNOWN = next(entry for entry in catalogue().values() if entry.gguf_repos and entry.vllm_repos)
BOX = to_json(profile("rtx-3090"))


class Builds:
    """Two builds: what they refuse, by path and by name of the file."""

    def __init__(self) -> None:
        self.refused: dict[str, Refused] = {}
        self.refused_files: tuple[str, ...] = ()
        self.asked: list[tuple[str, str]] = []

    def __call__(self, flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        self.asked.append((caps.path, replica.name))
        refused = self.refused.get(caps.path)
        if refused and (not self.refused_files or replica.name in self.refused_files):
            raise EngineRefusedError("this build does not know it", refused=refused, engine_output=LINE)
        return DryRunReport("llama-server", (DeviceUsage("Host", 92 * MIB, 180 * MIB, 22 * MIB),))


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"offline": "hub" not in request.fixturenames})


@pytest.fixture
def builds() -> Builds:
    return Builds()


@pytest.fixture
def adapters(adapters: Adapters, builds: Builds) -> Adapters:
    installed = (InstalledEngine(LLAMA_CPP, str(FAKE), "fake"), InstalledEngine(LLAMA_CPP, SECOND, "b99999"))
    return replace(adapters, ask_memory=builds, engines=lambda: installed)


async def test_a_refused_model_is_refused_by_plan_estimate_and_launch(
    daemon: Running, builds: Builds, smollm2: Path
) -> None:
    builds.refused = {str(FAKE): Refused.MODEL, SECOND: Refused.MODEL}
    async with daemon() as api:
        plan = await api.post("/v1/plan", model=str(smollm2))
        estimate = await api.post("/v1/estimate", model=str(smollm2), args=["-c", "512"])
        last = (await api.progress(await api.launch(smollm2)))[-1]
        rows = await api.get("/v1/launches")
    assert plan.status_code == estimate.status_code == 422
    for error in (plan.json()["error"], estimate.json()["error"], last):
        assert error["code"] == "engine_refused"
        assert error["line"] == LINE
        assert "engine_server.py fake" in error["hint"]
        assert "too old" in error["hint"]
    assert last["step"] == "failed"
    assert rows == []


async def test_a_second_build_that_knows_the_model_is_chosen_and_why_is_told(
    daemon: Running, builds: Builds, smollm2: Path
) -> None:
    builds.refused = {str(FAKE): Refused.MODEL}
    async with daemon() as api:
        plan = (await api.post("/v1/plan", model=str(smollm2))).json()
        estimate = (await api.post("/v1/estimate", model=str(smollm2), args=["-c", "512"])).json()
        await api.launched(smollm2, name="mine")
        detail = await api.get("/v1/launches/mine")
    assert (plan["engine_path"], plan["confidence"]) == (SECOND, "engine-checked")
    why = f"{SECOND}) is used: engine_server.py fake, which is found first, refuses the model: {LINE}"
    assert any(why in reason for reason in plan["reasons"])
    assert any(why in note for note in estimate["notes"])
    assert detail["plan"]["engine_path"] == SECOND


async def test_a_second_build_that_could_not_be_asked_is_not_chosen(
    daemon: Running, builds: Builds, adapters: Adapters, smollm2: Path
) -> None:
    builds.refused = {str(FAKE): Refused.MODEL}

    def ask(flags: LlamaFlags, caps: Capabilities, replica: Path) -> DryRunReport:
        if caps.path == SECOND:
            raise OSError(8, "Exec format error")
        return builds(flags, caps, replica)

    async with daemon(replace(adapters, ask_memory=ask)) as api:
        refused = await api.post("/v1/plan", model=str(smollm2))
    assert refused.json()["error"]["line"] == LINE


async def test_another_quant_is_planned_where_one_file_is_refused(
    daemon: Running, builds: Builds, tmp_path: Path
) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    for quant in ("Q8_0", "Q4_K_M"):
        write_replica(folder / f"Qwen3-0.6B-{quant}.gguf", build.shape("qwen3-0.6b", quant))
    builds.refused = {str(FAKE): Refused.FILE, SECOND: Refused.FILE}
    builds.refused_files = ("Qwen3-0.6B-Q8_0.gguf",)
    async with daemon() as api:
        plan = (await api.post("/v1/plan", model=str(folder))).json()
        named = (await api.post("/v1/plan", model=str(folder), quality="Q8_0")).json()["error"]
        builds.refused = dict.fromkeys(builds.refused, Refused.MODEL)
        api.app.hardware_cache.failed_dry_runs.clear()
        every = (await api.post("/v1/plan", model=str(folder))).json()["error"]
    assert plan["weights"]["quant"] == "Q4_K_M"
    assert f"Q8_0 was passed over: {LINE}" in plan["reasons"]
    assert "another quant may load: Q4_K_M" in named["hint"]
    assert every["code"] == "engine_refused"


async def test_a_plan_for_another_machine_says_whether_an_engine_here_loads_the_model(
    daemon: Running, builds: Builds, smollm2: Path
) -> None:
    async with daemon() as api:
        loads = (await api.post("/v1/plan", model=str(smollm2), on=BOX)).json()
        builds.refused = {str(FAKE): Refused.MODEL, SECOND: Refused.MODEL}
        refused = (await api.post("/v1/plan", model=str(smollm2), on=BOX)).json()
        (row,) = (await api.post("/v1/compare", models=[str(smollm2)], on=[BOX])).json()
    assert "engine_server.py fake of this machine loads the model" in loads["reasons"][-1]
    assert refused["confidence"] == "estimated"
    assert f"no engine here loads this model: {LINE}" in refused["reasons"][-1]
    assert row["plan"] == refused
    assert row["engine_here"] == refused["reasons"][-1]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running_hub:
        monkeypatch.setenv("HF_ENDPOINT", running_hub.url)
        yield running_hub


async def test_a_pull_of_the_only_quant_is_refused_before_the_download(
    daemon: Running, builds: Builds, hub: Hub, smollm2: Path, settings: Settings
) -> None:
    hub.add("o/r", {"M-Q4_1.gguf": await asyncio.to_thread(smollm2.read_bytes)})
    builds.refused = {str(FAKE): Refused.MODEL, SECOND: Refused.MODEL}
    async with daemon() as api:
        refused = await ended(api, (await api.post("/v1/pulls", model="o/r")).json()["id"])
        builds.refused = {str(FAKE): Refused.MODEL}
        api.app.hardware_cache.failed_dry_runs.clear()
        fetched = await ended(api, (await api.post("/v1/pulls", model="o/r")).json()["id"])
    assert (refused["step"], refused["code"], refused["line"]) == ("failed", "engine_refused", LINE)
    assert "too old" in refused["hint"]
    assert fetched["step"] == "done"
    assert len(list(settings.models_dir.rglob("M-Q4_1.gguf"))) == 1


@pytest.mark.engine
async def test_a_launch_that_the_embedded_build_refuses_fetches_a_header_alone(
    daemon: Running, adapters: Adapters, settings: Settings, hub: Hub, tmp_path: Path
) -> None:
    shape = build.shape("qwen3-0.6b", "Q8_0")
    keys = {key.replace("qwen3.", "newest."): value for key, value in shape.metadata.items()}
    path = write_replica(tmp_path / "x.gguf", replace(shape, architecture="newest", metadata=keys))
    head = path.read_bytes()[: 4 * MIB].rstrip(b"\0")
    hub.add(KNOWN.gguf_repos[0], {"New-Q8_0.gguf": Hollow(head, path.stat().st_size)})
    real = real_adapters(settings, fork_server())
    adapters = replace(adapters, engine=real.engine, engines=real.engines, ask_memory=real.ask_memory)
    async with daemon(adapters) as api:
        last = (await api.progress(await api.launch(KNOWN.gguf_repos[0])))[-1]
    assert (last["step"], last["code"]) == ("failed", "engine_refused")
    assert last["message"] == "this build of llama-server does not know the architecture newest"
    assert "0.10434.0" in last["hint"]
    assert f"vllm may serve it from {KNOWN.vllm_repos[0]}, with --engine vllm" in last["hint"]
    asked = [request.headers["Range"] for request in hub.gets("/cdn/")]
    assert asked, "headers are read by range"
    assert hub.sent_bytes < 2 * len(head) + 4 * MIB < path.stat().st_size / 20
    assert not list(settings.models_dir.rglob("*.gguf*"))
