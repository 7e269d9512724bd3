"""Does the PCIe link of a card run at the maximum of card and slot?"""

from daemon.doctor.checks.finding import Finding, Verdict, not_known, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.accelerator import PcieLink
from domain.machine.hardware import Gpu, MemoryKind

# Of the power limit: a rule of thumb without another source. Idle cards draw a tenth, and their links drop to
# generation 1; a card in use draws more than this
LOADED_SHARE = 0.4


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    gpus = inputs.hardware.gpus
    cards = [gpu for gpu in gpus if gpu.memory_kind is MemoryKind.DEDICATED and not gpu.parent]
    return tuple(finding for gpu in cards for finding in _card(gpu))


def _card(gpu: Gpu) -> tuple[Finding, ...]:
    link, card = gpu.link, f"{gpu.name} at {gpu.id}"
    if link is None or link.generation_max is None or link.width_max is None:
        return not_known(f"the link of {card}")
    maximum = f"generation {link.generation_max} x{link.width_max}"
    if link.generation_now is None or link.width_now is None:
        return not_known(f"at what the link of {card} runs now; its maximum is {maximum}")
    now = f"generation {link.generation_now} x{link.width_now}"
    if (link.generation_now, link.width_now) == (link.generation_max, link.width_max):
        return (Finding(Verdict.OK, f"{card}: {maximum}{_slot_limit(link)}"),)
    if not is_loaded(gpu):
        return not_known(
            f"whether {card} reaches {maximum}: it runs at {now}, which is normal while idle",
            fix="send a long request to a model that runs on it, and check again meanwhile",
        )
    return (
        warning(
            f"{card} runs at {now} under load, its maximum is {maximum}",
            why="prompts, experts on the CPU and other GPUs wait for the link",
            fix="reseat the card, try without riser or adapter, and check the slot in the firmware",
        ),
    )


def is_loaded(gpu: Gpu) -> bool:
    limit_w = gpu.power_limit_w or gpu.power_default_w
    return gpu.power_w is not None and limit_w is not None and gpu.power_w >= LOADED_SHARE * limit_w


def _slot_limit(link: PcieLink) -> str:
    """What the card could do in a better slot. No fault, but worth knowing."""
    generation, width = link.card_generation or 0, link.card_width or 0
    if generation <= (link.generation_max or 0) and width <= (link.width_max or 0):
        return ""
    external = " (Thunderbolt or USB4)" if link.external else ""
    card = f"generation {generation or '?'} x{width or '?'}"
    return f", the maximum of its slot{external}; the card supports {card}"
