"""Decode with a draft model: it puts up some tokens, the model checks them all at once.

Source: Leviathan, Kalman, Matias, "Fast inference from transformers via speculative decoding" (2023): of k
drafted tokens, each accepted with probability a, a round gives (1 - a^(k + 1)) / (1 - a) on average.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.plan import Range
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.llama_cpp.speed.traffic import Traffic
from planner.machine.calibration import Correction
from planner.machine.model import MachineModel

# Of drafted tokens that are accepted: the paper's table 3 has 0.5 to 0.9 for drafts of a tenth of the model
# and less, prose at the low end, code and translation at the high one.
LOW, EXPECTED, HIGH = 0.5, 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft model as it lies on the box; ``most`` tokens are drafted at a time."""

    work: Mapping[int, Traffic]
    box: MachineModel
    run: ContextParams
    most: int

    def prefill_s(self) -> float | None:
        return prefill_s(self.work, self.box, self.run)


def decode(work: Mapping[int, Traffic], box: MachineModel, draft: Draft, by: Correction) -> Range | None:
    """Tokens/s. The range is that of the rules, and of what is accepted."""
    own_s, draft_s = decode_s(work, box, draft.most + 1), decode_s(draft.work, draft.box)
    if own_s is None or draft_s is None:
        return None
    round_s = (own_s + draft.most * draft_s) / by.ratio
    low, expected, high = (_tokens(share, draft.most) / round_s for share in (LOW, EXPECTED, HIGH))
    return Range(low / (1 + by.spread), expected, high * (1 + by.spread))


def _tokens(share: float, most: int) -> float:
    """That a round gives."""
    return float((1 - share ** (most + 1)) / (1 - share))
