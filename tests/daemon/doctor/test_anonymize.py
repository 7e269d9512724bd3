"""A box saved here and planned for elsewhere: the same plan, and nothing of whose box it is."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from config import data
from daemon.app import Adapters
from daemon.doctor.anonymize import anonymize_hardware, build_profile
from domain.anonymize import Identifiers, anonymize_text
from domain.launches.plan import LaunchOptions, Plan
from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import Hardware, InstalledEngine, Memory, Problem, Storage
from domain.serialization import to_json
from domain.units import GIB
from planner.choose import choose
from tests.catalog.resolving import resolve
from tests.daemon.conftest import Running
from tests.daemon.doctor.checks.build import GB10, HALO, RTX_3090

OWN = Identifiers(("attic",), ("ada",), ("/home/ada",), ("S6Z1NJ0W123456",))
CARD = replace(
    RTX_3090,
    uuid="GPU-8f6d2c1e-1a2b-3c4d-5e6f-708192a3b4c5",
    tenants=(GpuProcess(4242, "comfyui-of-ada", 2 * GIB),),
    bandwidth_bytes_per_s=936e9,
)
PART = replace(CARD, id="mig:MIG-8f6d2c1e-1a2b-3c4d-5e6f-708192a3b4c5", parent=CARD.id)
BOX = Hardware(
    memory=Memory(64 * GIB, 60 * GIB, 50e9),
    gpus=(CARD, PART, replace(PART, id="mig:MIG-00000000-1a2b-3c4d-5e6f-708192a3b4c5")),
    storage=Storage("/home/ada/models", GIB, device="attic-nas:/models", mounted_at="/home/ada/models"),
    engines=(InstalledEngine("llama.cpp", "/home/ada/llama.cpp/llama-server", "b1", ("cpu", "vulkan")),),
    problems=(Problem("storage", "/home/ada/models: disk S6Z1NJ0W123456 on attic fails"),),
)
PLANTED = ("8f6d2c1e", "comfyui", "ada", "attic", "S6Z1NJ0W")


def test_a_profile_has_nothing_private() -> None:
    text = json.dumps(to_json(build_profile(BOX, OWN)))
    assert [word for word in PLANTED if word in text] == []
    assert anonymize_text(text, OWN) == text
    assert '"~/llama.cpp/llama-server"' in text


def test_the_machine_of_a_report_keeps_its_problems_without_names() -> None:
    seen = anonymize_hardware(BOX, OWN)
    assert seen.problems[0].what == "~/models: disk <number> on <host> fails"


def test_parts_of_a_card_stay_apart() -> None:
    ids = [gpu.id for gpu in build_profile(BOX, OWN).gpus]
    assert ids == [CARD.id, "mig:1", "mig:2"]


def planned(box: Hardware, models_dir: Path) -> Plan:
    found = resolve("gpt-oss-20b", catalogue=data.catalogue(), models_dir=models_dir, offline=True)
    return choose.plan("gpt-oss-20b", found, box, LaunchOptions())


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(replace(BOX, gpus=(CARD,)), id="a card"),
        pytest.param(replace(BOX, gpus=(CARD, replace(CARD, id="pci:0000:04:00.0"))), id="two cards"),
        pytest.param(replace(BOX, gpus=(replace(HALO, bandwidth_bytes_per_s=256e9),)), id="Strix Halo"),
        pytest.param(replace(BOX, gpus=(replace(GB10, bandwidth_bytes_per_s=273e9),)), id="DGX Spark"),
        pytest.param(replace(BOX, gpus=()), id="no GPU"),
    ],
)
def test_a_plan_elsewhere_is_the_plan_here(box: Hardware, tmp_path: Path) -> None:
    file = tmp_path / "box.json"
    file.write_text(json.dumps(to_json(build_profile(box, OWN))))
    there = data.profile(str(file))
    assert there.name == "box"
    assert planned(there, tmp_path) == planned(box, tmp_path)


async def test_a_box_is_saved_by_one_daemon_and_planned_for_by_another(
    daemon: Running, adapters: Adapters, smollm2: Path, tmp_path: Path
) -> None:
    box = replace(BOX, gpus=(CARD,))

    def seen(other: Hardware) -> Callable[[], Hardware]:
        return lambda: other

    async with daemon(replace(adapters, probe=seen(box))) as api:
        profile = await api.get("/v1/profile")
        here = (await api.post("/v1/plan", model=str(smollm2))).json()
    file = tmp_path / "box.json"
    await asyncio.to_thread(file.write_text, json.dumps(profile))
    on = to_json(await asyncio.to_thread(data.profile, str(file)))
    async with daemon(replace(adapters, probe=seen(Hardware(memory=Memory(8 * GIB, 6 * GIB))))) as api:
        there = (await api.post("/v1/plan", model=str(smollm2), on=on)).json()
    assert profile["source"].startswith("node-ctl probe --save of node-daemon ")
    for part in ("weights", "context_tokens", "parallel", "kv_cache_type"):
        assert there[part] == here[part]
    assert [row["needed_bytes"] for row in there["memory"]] == [row["needed_bytes"] for row in here["memory"]]
