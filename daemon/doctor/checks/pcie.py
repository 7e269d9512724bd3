"""Does the PCIe link of a card do what card and slot can?"""

from daemon.doctor.checks.finding import Finding, Verdict, not_known, warning
from daemon.doctor.checks.input import DoctorInput
from domain.accelerator import PcieLink
from domain.hardware import Gpu, MemoryKind

# Of the power limit. A rule of thumb, of no other source: idle cards draw a tenth, and their links fall to
# generation 1; one that works draws more than this
LOADED_SHARE = 0.4


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    cards = [gpu for gpu in facts.hardware.gpus if gpu.memory_kind is MemoryKind.DEDICATED and not gpu.parent]
    return tuple(finding for gpu in cards for finding in _card(gpu))


def _card(gpu: Gpu) -> tuple[Finding, ...]:
    link, where = gpu.link, f"{gpu.name} at {gpu.id}"
    if link is None or link.generation_max is None or link.width_max is None:
        return not_known(f"the link of {where}")
    most = f"generation {link.generation_max} x{link.width_max}"
    if link.generation_now is None or link.width_now is None:
        return not_known(f"what the link of {where} does now; it can {most}")
    now = f"generation {link.generation_now} x{link.width_now}"
    if (link.generation_now, link.width_now) == (link.generation_max, link.width_max):
        return (Finding(Verdict.OK, f"{where}: {most}{_slot(link)}"),)
    if not loaded(gpu):
        return not_known(
            f"{where} can {most} and does {now}, which says nothing while it idles",
            fix="ask a model that runs on it something long, and look again meanwhile",
        )
    return (
        warning(
            f"{where} does {now} under load and can {most}",
            why="prompts, experts on the CPU and other GPUs wait for the link",
            fix="seat the card again, try without riser or adapter, and look at the slot in the firmware",
        ),
    )


def loaded(gpu: Gpu) -> bool:
    limit_w = gpu.power_limit_w or gpu.power_default_w
    return gpu.power_w is not None and limit_w is not None and gpu.power_w >= LOADED_SHARE * limit_w


def _slot(link: PcieLink) -> str:
    """What a better slot would give: nothing is wrong, and an owner may wonder."""
    card, width = link.card_generation or 0, link.card_width or 0
    if card <= (link.generation_max or 0) and width <= (link.width_max or 0):
        return ""
    through = " (Thunderbolt or USB4)" if link.external else ""
    return f", all that its slot allows{through}; the card can generation {card or '?'} x{width or '?'}"
