"""What the hint names where a model does not fit: the relative first, nothing that nobody can wait for."""

from dataclasses import replace

import pytest

from daemon.planning.refusals import suggestions
from domain.launches.plan import LaunchOptions
from domain.machine.hardware import BandwidthSource, Cpu, Hardware, Memory
from domain.models.catalogue_types import KnownModel, KnownQuant
from domain.serialization import to_json
from domain.units import GIB
from planner.choose import choose
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration
from tests.daemon.conftest import Running


def box(ram_gib: int, bandwidth_bytes_per_s: float | None) -> Hardware:
    memory = Memory(ram_gib * GIB, (ram_gib - 1) * GIB, bandwidth_bytes_per_s, BandwidthSource.MEASURED)
    return Hardware(Cpu(physical_cores=4, usable_cpus=4), memory)


@pytest.mark.parametrize(
    ("ram_gib", "rate", "named"),
    [
        pytest.param(24, 28e9, "gpt-oss-20b", id="the relative that can be read along"),
        pytest.param(8, 20e9, "lfm2-8b-a1b", id="no relative fits: the largest that can be read along"),
        pytest.param(24, 3e8, "gemma-3-270m", id="none can be read along: the fastest"),
    ],
)
async def test_the_hint_names_what_an_owner_would_want(
    daemon: Running, ram_gib: int, rate: float, named: str
) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/plan", model="gpt-oss-120b", on=to_json(box(ram_gib, rate)))
    hint = answer.json()["error"]["hint"]
    assert f"; {named} (" in hint
    assert hint.endswith("would fit")


async def test_no_one_bit_quant_and_nothing_unreadable_is_named(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/plan", model="deepseek-r1", on=to_json(box(24, 20e9)))
    hint = answer.json()["error"]["hint"]
    assert "70b" not in hint
    assert "IQ1" not in hint


def test_what_is_too_slow_for_its_bytes_is_tried_last() -> None:
    quants = (KnownQuant("a/b", "Q4_K_M", 10 * GIB),)
    dense = KnownModel("dense", "", "llama", 20 * 10**9, 20 * 10**9, quants=quants)
    sparse = replace(dense, alias="sparse", architecture="moe", active_parameters=10**9)
    relative = replace(sparse, alias="relative", architecture="llama", parameters=10**9 * 15)
    unknown = replace(dense, alias="unknown", active_parameters=None, parameters=None)
    too_large = replace(dense, alias="large", quants=(KnownQuant("a/b", "Q4_K_M", 100 * GIB),))
    order = suggestions.rank_models(
        (dense, sparse, relative, unknown, too_large), frozenset({"llama"}), box(24, 20e9)
    )
    assert [model.alias for model in order] == ["relative", "unknown", "sparse", "dense"]


async def test_a_bug_in_another_models_plan_takes_no_answer_away(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("blk.0")

    machine = box(24, 20e9)
    async with daemon() as api:
        monkeypatch.setattr(choose, "find_best", broken)
        found = suggestions.suggest(
            api.app.sources.resolve,
            api.app.catalogue,
            (),
            machine,
            LaunchOptions(),
            calibration=Calibration(),
            reserve=Reserve(),
        )
    assert found == ""
