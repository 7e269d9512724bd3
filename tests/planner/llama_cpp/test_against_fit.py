"""What the planner chooses runs, answers, and keeps to the memory given, as what ``--fit`` chooses does."""

import os
from pathlib import Path

import pytest

from domain.launches.plan import LLAMA_CPP
from launchers.base import SearchPaths
from launchers.registry import choose
from tests.rigs import rpc
from tests.rigs.against_fit import Case, interleaved
from tests.rigs.moe import write_moe

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.mark.parametrize(
    ("experts", "limits_mib"),
    [
        pytest.param(False, (150,), id="some layers on one device"),
        pytest.param(False, (160, 90), id="all on two unequal devices"),
        pytest.param(True, (220,), id="experts on the CPU"),
    ],
)
def test_a_plan_runs_within_the_memory_given(
    experts: bool, limits_mib: tuple[int, ...], smollm2: Path, tmp_path: Path
) -> None:
    engine = choose(LLAMA_CPP, SearchPaths(search_path=os.environ["PATH"]))
    model = write_moe(smollm2, tmp_path / "moe.gguf") if experts else smollm2
    case = Case("the small model", model, limits_mib)
    with rpc.devices(case.sizes_mib, tmp_path) as addresses:
        runs_by_name = interleaved(case, engine, addresses, tmp_path, rounds=1)
    for runs in runs_by_name.values():
        assert "Paris" in runs[0].text
        assert runs[0].held_mib
    for address, limit_mib in zip(addresses, limits_mib, strict=True):
        held = [mib for device, mib in runs_by_name["ours"][0].held_mib.items() if f"[{address}]" in device]
        assert 0 < sum(held) <= limit_mib
