"""What all candidates of one search share: the machine, the owner's options, the margins to keep."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from domain.launches.plan import HOST, DeviceMemory, LaunchOptions
from domain.machine.hardware import Hardware
from planner.machine import budget
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration

# Silent reading: 238 words a minute (Brysbaert 2019), 4 tokens for 3 words.
READING_TOKENS_PER_S = 5.3
CONTEXT_STEP_TOKENS = 1024  # of the longest context that fits
# A faster cache type or batch must gain at least this much, else the plainer one is taken.
WORTHWHILE_GAIN = 1.15

# Bytes that earlier splits needed besides weights and cache, per device of a group, for a batch and a cache
# type: the first guess for the next quant of the same model.
OverheadHints = dict[tuple[object, ...], list[int]]


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What all candidates of one search share. ``from_disk``: host weights need no memory, because they are
    read from the disk. ``cache_type``: the one that is tried, if the others are not of interest."""

    hardware: Hardware
    options: LaunchOptions
    calibration: Calibration
    reserve: Reserve
    overhead_hints: OverheadHints = field(default_factory=dict, compare=False)
    from_disk: bool = False
    cache_type: str | None = None

    @property
    def parallel(self) -> int:
        return self.options.parallel or 1

    @property
    def host_reserve_bytes(self) -> int:
        return budget.host_reserve_bytes(self.hardware, self.reserve)

    def on_cpu(self) -> "SearchContext":
        return replace(self, hardware=replace(self.hardware, gpus=()))

    def has_room(self, memory: Sequence[DeviceMemory]) -> bool:
        """Whether ``memory`` and the margins fit each device. A device of unknown size counts as large
        enough."""
        for row in memory:
            if row.free_bytes is None:
                continue
            mapped_bytes = row.weights_bytes if self.from_disk and row.device == HOST else 0
            if row.needed_bytes - mapped_bytes + self.margin_bytes(row.device) > row.free_bytes:
                return False
        return True

    def margin_bytes(self, device: str) -> int:
        """Bytes to leave free. Where a GPU shares the host's pool, the margin is kept once, on the host."""
        if device == HOST:
            return self.host_reserve_bytes
        gpu = self.hardware.gpus[int(device.removeprefix("GPU"))]
        allowed_bytes = budget.gpu_budget_bytes(gpu, self.hardware, self.reserve)
        free_bytes = budget.gpu_free_bytes(gpu, self.hardware)
        return 0 if allowed_bytes is None or free_bytes is None else free_bytes - allowed_bytes
