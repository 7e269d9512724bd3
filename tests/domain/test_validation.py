"""Figures that no machine has are found, and named."""

import math

import pytest

from domain.machine.hardware import Cpu, Gpu, Hardware, Memory, Storage
from domain.machine.validation import check_figures


@pytest.mark.parametrize(
    ("box", "field"),
    [
        pytest.param(Hardware(memory=Memory(total_bytes=-5)), "memory.total_bytes", id="negative"),
        pytest.param(
            Hardware(memory=Memory(bandwidth_bytes_per_s=0.0)), "memory.bandwidth_bytes_per_s", id="zero rate"
        ),
        pytest.param(
            Hardware(memory=Memory(bandwidth_bytes_per_s=math.inf)), "memory.bandwidth", id="endless rate"
        ),
        pytest.param(Hardware(memory=Memory(2**34, 10**400)), "memory.available_bytes", id="endless memory"),
        pytest.param(Hardware(memory=Memory(-(10**400))), "memory.total_bytes", id="endlessly negative"),
        pytest.param(
            Hardware(gpus=(Gpu("a", "b", "c", bandwidth_bytes_per_s=1e-308),)),
            r"gpus\[0\].bandwidth_bytes_per_s can't be 1e-308",
            id="so slow that a token takes for ever",
        ),
        pytest.param(
            Hardware(storage=Storage("m", read_bytes_per_s=math.nan)), "storage.read", id="no number"
        ),
        pytest.param(Hardware(Cpu(quota_cpus=0.0)), "cpu.quota_cpus", id="no CPU"),
        pytest.param(
            Hardware(gpus=(Gpu("a", "b", "c"), Gpu("a", "b", "c", memory_total_bytes=0))),
            r"gpus\[1\].memory_total_bytes",
            id="a GPU without memory",
        ),
    ],
)
def test_a_figure_that_cannot_be_is_named(box: Hardware, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        check_figures(box)


def test_a_full_machine_and_an_unknown_one_are_possible() -> None:
    check_figures(Hardware())
    check_figures(Hardware(memory=Memory(2**34, 0, swap_total_bytes=0, memlock_limit_bytes=0)))
    check_figures(Hardware(gpus=(Gpu("a", "b", "c", memory_free_bytes=0, power_w=11.0),)))
