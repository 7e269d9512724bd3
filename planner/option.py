"""One complete choice: a quant with every flag, and what it takes and gives."""

from dataclasses import dataclass

from domain.model import Candidate
from domain.plan import Estimate, LlamaFlags
from planner import quality
from planner.resolved import ALL_LAYERS


@dataclass(frozen=True, slots=True)
class Option:
    """``context_tokens`` is what one sequence gets. ``loss``: see ``quality``."""

    candidate: Candidate
    flags: LlamaFlags
    estimate: Estimate
    context_tokens: int

    @property
    def loss(self) -> float:
        return quality.loss(self.candidate)

    @property
    def decode(self) -> float | None:
        found = self.estimate.speed.decode_tokens_per_s
        return found.expected if found else None

    @property
    def prefill(self) -> float | None:
        found = self.estimate.speed.prefill_tokens_per_s
        return found.expected if found else None

    @property
    def needed_bytes(self) -> int:
        return sum(row.needed_bytes for row in self.estimate.memory)

    @property
    def is_offloaded(self) -> bool:
        """Whether GPUs hold all layers, experts included."""
        return self.flags.gpu_layers == ALL_LAYERS and not self.flags.n_cpu_moe

    @property
    def quant(self) -> str:
        return self.candidate.weights.quant
