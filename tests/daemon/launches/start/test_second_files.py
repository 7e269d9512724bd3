"""A projector and a draft of a real launch: fetched with the model, served, and kept where it pays."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from daemon.app import Adapters, App, real_adapters
from daemon.launches.launch import Launch
from daemon.launches.start import draft_trial, pipeline
from daemon.launches.start.placement import PlacedPlan
from daemon.planning.draft_history import DraftTrial, with_measured_drafts
from daemon.planning.speed_history import draft_key
from domain.launches.plan import LlamaFlags, Plan
from domain.models.model import ResolvedModel, Source, WeightFile, Weights
from domain.units import MIB
from launchers.base import Capabilities
from tests.daemon.conftest import Api, Running, fork_server
from tests.daemon.weights.pulling import ended
from tests.planner import build
from tests.rigs.hub import Hub
from tests.rigs.mtp import with_head
from tests.rigs.projector import projector
from tests.rigs.replica import write_replica

REPO = "o/seeing-GGUF"
VISION = "mmproj-F16.gguf"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"offline": False})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, smollm2: Path, tmp_path: Path) -> Iterator[Hub]:
    """The model has real weights, the projector none: it is loaded, and sees nothing."""
    file = write_replica(tmp_path / VISION, projector("gemma3-4b", blocks=1, out=576))
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.add(REPO, {"seeing-Q4_1.gguf": smollm2.read_bytes(), VISION: file.read_bytes()})
        yield running


@pytest.fixture
def with_engine(settings: Settings, adapters: Adapters) -> Adapters:
    real = real_adapters(settings, fork_server())
    return replace(
        adapters,
        launchers=real.launchers,
        engines=real.engines,
        engine=real.engine,
        read_memory=real.read_memory,
    )


async def lines(api: Api, step: str) -> list[str]:
    return [line["message"] for line in await api.progress("one") if line["step"] == step]


@pytest.mark.engine
async def test_a_vision_model_is_served_with_its_projector(
    daemon: Running, with_engine: Adapters, hub: Hub
) -> None:
    async with daemon(with_engine) as api:
        await api.launched(REPO, name="one")
        detail = await api.get("/v1/launches/one")
        fetched = await lines(api, "download")
        argv = detail["plan"]["argv"]
        path = Path(argv[argv.index("--mmproj") + 1])
        assert path.is_absolute()
        assert path.name == VISION
        assert any("fetching its projector" in line for line in fetched)
        async with httpx.AsyncClient() as client:
            props = (await client.get(f"{detail['launch']['endpoint']}/props")).json()
    assert props["modalities"]["vision"] is True
    assert detail["plan"]["confidence"] == "measured"
    (host,) = detail["plan"]["memory"]
    assert host["compute_bytes"] >= 104 * MIB, "what the engine said of its projector's graph, and its own"


@pytest.mark.parametrize("declined", [False, True], ids=["with its projector", "declined"])
async def test_a_pull_fetches_what_a_launch_would_use(
    daemon: Running, settings: Settings, hub: Hub, *, declined: bool
) -> None:
    async with daemon() as api:
        number = (await api.post("/v1/pulls", model=REPO, no_mmproj=declined)).json()["id"]
        last = await ended(api, number)
    assert last["step"] == "done", last
    fetched = {path.name for path in settings.models_dir.rglob("snapshots/*/*.gguf")}
    assert fetched == {"seeing-Q4_1.gguf", *(() if declined else (VISION,))}


@pytest.mark.parametrize("moved_on", [False, True], ids=["the same revision", "a newer one"])
async def test_a_projector_that_a_model_on_this_disk_lacks_is_told_and_a_pull_fetches_it(
    daemon: Running, settings: Settings, hub: Hub, *, moved_on: bool
) -> None:
    async def planned(api: Api) -> tuple[str | None, list[str]]:
        plan = (await api.post("/v1/plan", model=REPO)).json()
        return plan["flags"]["mmproj"], [one for one in plan["reasons"] if one.startswith("no images")]

    async with daemon() as api:
        await ended(api, (await api.post("/v1/pulls", model=REPO, no_mmproj=True)).json()["id"])
        if moved_on:
            hub.add(REPO, hub.repos[REPO] | {"README.md": b"news"})
        hub.requests.clear()
        note = f"no images: its projector, {VISION}, is not on this disk; node-ctl pull {REPO} fetches it"
        assert await planned(api) == (None, [note])
        assert hub.requests == [], "a model on this disk needs no hub"
        last = await ended(api, (await api.post("/v1/pulls", model=REPO)).json()["id"])
        assert last["step"] == "done", last
        projector, notes = await planned(api)
    assert projector is not None
    assert (Path(projector).name, notes) == (VISION, [])
    assert [path.name for path in settings.models_dir.rglob("snapshots/*/*.gguf")].count(VISION) == 1


def drafts_always(monkeypatch: pytest.MonkeyPatch, draft: Path) -> None:
    """As if a draft were expected to gain, until it was measured that it doesn't."""
    placed_by_plan = pipeline.place

    async def place(app: App, launch: Launch) -> PlacedPlan:
        placed = await placed_by_plan(app, launch)
        key = draft_key(placed.plan.weights, placed.machine, placed.caps)
        trial = await app.store.recall(DraftTrial, key)
        if trial is not None and not trial.pays:
            return placed
        assert isinstance(placed.plan.flags, LlamaFlags)
        flags = replace(
            placed.plan.flags,
            speculative=("draft-simple",),
            draft_max=2,
            draft_model=str(draft),
            draft_gpu_layers=0,
        )
        return replace(placed, plan=replace(placed.plan, flags=flags))

    monkeypatch.setattr(pipeline, "place", place)


@pytest.mark.engine
@pytest.mark.slow
async def test_a_draft_that_gains_nothing_is_dropped_and_that_is_remembered(
    daemon: Running, with_engine: Adapters, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft as large as its model: each of its tokens costs as much as one of the model."""
    drafts_always(monkeypatch, smollm2)
    async with daemon(with_engine) as api:
        await api.launched(smollm2, name="one")
        detail = await api.get("/v1/launches/one")
        tried = await lines(api, "tune")
        assert any("measuring whether" in line for line in tried)
        assert any("drafting with" in line and line.endswith("dropped") for line in tried), tried
        assert "--spec-type" not in detail["plan"]["argv"]
        await api.post("/v1/launches/one/stop")
        await api.launched(smollm2, name="one")
        again = await lines(api, "tune")
    assert not any("measuring whether" in line for line in again)


async def test_a_draft_that_gains_a_tenth_is_kept_and_measured_once(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[bool] = []

    async def rate(app: App, launch: Launch, plan: Plan, caps: Capabilities) -> float:
        assert isinstance(plan.flags, LlamaFlags)
        measured.append(bool(plan.flags.speculative))
        return 22.0 if plan.flags.speculative else 20.0

    monkeypatch.setattr(draft_trial, "_rate", rate)
    drafts_always(monkeypatch, smollm2)
    async with daemon() as api:
        for _ in range(2):
            await api.launched(smollm2, name="one")
            detail = await api.get("/v1/launches/one")
            assert detail["plan"]["flags"]["speculative"] == ["draft-simple"]
            await api.post("/v1/launches/one/stop")
    assert measured == [True, False]


async def test_a_plan_drafts_nothing_where_that_was_measured_to_gain_nothing(daemon: Running) -> None:
    shape = with_head(build.published("qwen3.5-4b"))
    weights = Weights(Source.HUB, "o/m", "c0ffee", (WeightFile("m.gguf", 1),), "Q4_K_M", 1)
    model = ResolvedModel(weights, shape)
    async with daemon() as api:
        app, machine = api.app, api.app.adapters.probe()
        key = draft_key(weights, machine, app.adapters.engine("llama.cpp"))
        for plain, may_draft in ((20.0, True), (21.9, False)):
            await app.store.record(key, DraftTrial("its own head", plain, 22.0))
            (found,) = await with_measured_drafts(app, [model], machine)
            assert found.may_draft is may_draft
    assert found.notes == (
        "no draft: as measured here, drafting with its own head gains 0 % (22 tokens/s with it, 22 without)",
    )
