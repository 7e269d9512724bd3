"""What all candidates of one search share: the machine, the owner's options, the margins to keep."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from domain.hardware import Hardware
from domain.plan import HOST, DeviceMemory, LaunchOptions
from planner.machine import budget
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration

# Silent reading: 238 words a minute (Brysbaert 2019), 4 tokens for 3 words. Comfortable is twice that, for
# people skim, and models think aloud: reached with a quant that is still good, else reading speed will do.
READING_TOKENS_PER_S = 5.3
COMFORTABLE_TOKENS_PER_S = 10.0
# A faster KV type or batch must be worth it: below this gain the plainer one is taken.
WORTHWHILE_GAIN = 1.15

# Bytes that earlier tries needed beside weights and cache, per device of a group, for a batch and a cache
# type: the first guess of the next quant of the same model.
OverheadHints = dict[tuple[object, ...], list[int]]


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What all options of one search share. ``overhead_hints``: see ``OverheadHints``; ``from_disk``: the
    host's weights need no memory."""

    hardware: Hardware
    options: LaunchOptions
    calibration: Calibration
    reserve: Reserve
    overhead_hints: OverheadHints = field(default_factory=dict, compare=False)
    from_disk: bool = False

    @property
    def parallel(self) -> int:
        return self.options.parallel or 1

    @property
    def target_tokens_per_s(self) -> float:
        """Tokens per second that are enough."""
        return self.options.min_decode_tokens_per_s or COMFORTABLE_TOKENS_PER_S

    def is_slow(self, tokens_per_s: float | None) -> bool:
        """What is not known is not slow."""
        return tokens_per_s is not None and tokens_per_s < self.target_tokens_per_s

    def on_cpu(self) -> "SearchContext":
        return replace(self, hardware=replace(self.hardware, gpus=()))

    def has_room(self, memory: Sequence[DeviceMemory]) -> bool:
        """Within what each device has, margins kept. A host of unknown size is taken to hold."""
        for row in memory:
            if row.free_bytes is None:
                continue
            mapped_bytes = row.weights_bytes if self.from_disk and row.device == HOST else 0
            if row.needed_bytes - mapped_bytes + self.margin_bytes(row.device) > row.free_bytes:
                return False
        return True

    def margin_bytes(self, device: str) -> int:
        """On a host that shares its pool with a GPU the margin is kept once, on the host's row."""
        if device == HOST:
            return self.reserve.host_bytes
        gpu = self.hardware.gpus[int(device.removeprefix("GPU"))]
        allowed_bytes = budget.gpu_budget_bytes(gpu, self.hardware, self.reserve)
        free_bytes = budget.gpu_free_bytes(gpu, self.hardware)
        return 0 if allowed_bytes is None or free_bytes is None else free_bytes - allowed_bytes
