"""What a plan leaves free for other programs."""

from dataclasses import replace

import pytest

from domain.launches.plan import LaunchOptions
from domain.units import GIB
from planner.choose.choose import plan
from planner.machine.budget import Reserve, has_display, host_reserve_bytes
from tests.planner import build

LLAMA = build.candidates("llama-3.1-8b", "Q4_K_M")


@pytest.mark.parametrize(
    ("ram_gib", "displays", "reserved_gib", "told"),
    [
        (64, (True,), 2.0, "2.0 GiB of RAM (for the desktop on its display)"),
        (8, (True,), 1.0, "1.0 GiB of RAM (for the desktop on its display)"),
        (64, (False, False), 0.5, "512 MiB of RAM (no display is attached)"),
        (64, (False, None), 1.0, "1.0 GiB of RAM, 512 MiB of GPU0"),
        (64, (True,), 2.0, "1.5 GiB of GPU0 (it drives a display)"),
        (64, (True, False), 2.0, "512 MiB of GPU1"),
    ],
)
def test_what_stays_free_depends_on_who_works_at_the_box(
    ram_gib: float, displays: tuple[bool | None, ...], reserved_gib: float, told: str
) -> None:
    cards = (
        replace(build.gpu(12, name=str(index)), display_attached=on) for index, on in enumerate(displays)
    )
    box = build.hardware(*cards, ram_gib=ram_gib)
    assert host_reserve_bytes(box, Reserve()) == reserved_gib * GIB
    reason = next(
        reason
        for reason in plan("m", LLAMA, box, LaunchOptions(context_tokens=8192)).reasons
        if reason.startswith("leaves free")
    )
    assert told in reason


def test_a_display_on_graphics_that_no_plan_uses_counts() -> None:
    igpu = replace(build.gpu(1), display_attached=True)
    assert has_display(replace(build.CARD_24, set_aside=(igpu,))) is True


def test_the_margin_of_the_owner_is_kept() -> None:
    reserve = Reserve(host_bytes=4 * GIB, gpu_bytes=3 * GIB)
    gpu = plan("a model", LLAMA, build.CARD_24, LaunchOptions(), reserve=reserve).memory[0]
    assert gpu.free_bytes is not None
    assert gpu.free_bytes - gpu.needed_bytes >= 3 * GIB
