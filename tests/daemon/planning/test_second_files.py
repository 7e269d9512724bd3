"""The dry run is of what is launched: the model with its projector and its draft."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.names import parse
from catalog.request import ModelRequest
from config.settings import Settings
from daemon.app import Adapters, App, real_adapters
from daemon.planning.plan import plan as make_plan
from daemon.planning.verification import SecondFileRefusedError, verify_plan
from domain.launches.plan import Confidence, LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Hardware, Memory
from domain.models.kinds import DraftMethod
from domain.units import GIB, MIB
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.companions.second_files import Draft
from tests.daemon.conftest import Running, fork_server
from tests.planner import build
from tests.rigs.projector import projector
from tests.rigs.replica import write_replica

VISION, DRAFT, UNKNOWN = "mmproj-F16.gguf", "Qwen3-0.6B-draft-Q8_0.gguf", "draft-of-tomorrow-Q8_0.gguf"
MACHINE = Hardware(memory=Memory(total_bytes=64 * GIB, available_bytes=60 * GIB))


@pytest.fixture
def with_engine(settings: Settings, adapters: Adapters) -> Adapters:
    real = real_adapters(settings, fork_server())
    return replace(
        adapters,
        launchers=real.launchers,
        engines=real.engines,
        engine=real.engine,
        ask_memory=real.ask_memory,
        probe=lambda: MACHINE,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    folder.mkdir()
    small = build.shape("qwen3-0.6b", "Q8_0")
    keys = {key.replace("qwen3.", "tomorrow."): value for key, value in small.metadata.items()}
    write_replica(folder / "Qwen3-32B-Q4_K_M.gguf", build.shape("qwen3-32b", "Q4_K_M"))
    write_replica(folder / VISION, projector("gemma3-4b", out=5120))
    write_replica(folder / DRAFT, small)
    write_replica(folder / UNKNOWN, replace(small, architecture="tomorrow", metadata=keys))
    return folder


def said(plan: Plan) -> float:
    """GiB on the host by the engine."""
    match = re.search(r": host ([\d.]+) GiB", plan.reasons[-1])
    assert match is not None
    return float(match[1])


async def planned(app: App, folder: Path, **options: object) -> Plan:
    chosen = LaunchOptions(context_tokens=8192, parallel=1, **options)  # type: ignore[arg-type]
    return await make_plan(app, str(folder), chosen)


async def checked_with(app: App, folder: Path, plan: Plan, draft: str) -> Plan:
    """``plan`` with a draft model, whether it gains or not."""
    assert isinstance(plan.flags, LlamaFlags)
    flags = second_files.with_draft(plan.flags, Draft(DraftMethod.SIMPLE, draft), 2)
    models = await app.adapters.resolve(app.sources, ModelRequest(parse(str(folder), {})))
    return await verify_plan(
        app, replace(plan, flags=flags, confidence=Confidence.ESTIMATED), models, MACHINE
    )


@pytest.mark.engine
async def test_the_dry_run_is_of_all_files_that_are_launched(
    daemon: Running, with_engine: Adapters, folder: Path
) -> None:
    async with daemon(with_engine) as api:
        seeing = await planned(api.app, folder)
        blind = await planned(api.app, folder, no_mmproj=True)
        drafting = await checked_with(api.app, folder, blind, DRAFT)
        with pytest.raises(SecondFileRefusedError, match=f"{UNKNOWN} is not used: .*tomorrow"):
            await checked_with(api.app, folder, blind, UNKNOWN)
    assert isinstance(seeing.flags, LlamaFlags)
    assert seeing.flags.mmproj == VISION
    for plan in (seeing, blind, drafting):
        assert plan.confidence is Confidence.ENGINE_CHECKED, plan.reasons
        assert "checked by a dry run" in plan.reasons[-1]
    more_bytes = seeing.memory[0].weights_bytes - blind.memory[0].weights_bytes
    assert more_bytes == pytest.approx(projector("gemma3-4b", out=5120).file_bytes, abs=2 * MIB)
    # llama-server's table of the draft: 604 MiB of weights, 896 of cache, 34 of compute
    assert said(drafting) - said(blind) == pytest.approx(1.5, abs=0.25)


@pytest.mark.engine
async def test_a_projector_that_the_engine_can_t_load_is_left_out_and_told(
    daemon: Running, with_engine: Adapters, folder: Path
) -> None:
    shape = projector("gemma3-4b", out=5120)
    odd = replace(shape, metadata={**shape.metadata, "clip.projector_type": "tomorrow"})
    await asyncio.to_thread(write_replica, folder / VISION, odd)
    async with daemon(with_engine) as api:
        blind = await planned(api.app, folder)
    assert isinstance(blind.flags, LlamaFlags)
    assert blind.flags.mmproj is None
    assert blind.confidence is Confidence.ENGINE_CHECKED
    assert f"{VISION} is not used: the engine can't load this projector" in blind.reasons
