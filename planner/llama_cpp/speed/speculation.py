"""Decode with a draft model: it proposes some tokens, the model verifies them all at once.

Source: Leviathan, Kalman, Matias, "Fast inference from transformers via speculative decoding" (2023): of k
drafted tokens, each accepted with probability a, a round gives (1 - a^(k + 1)) / (1 - a) on average.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.launches.plan import Range
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.llama_cpp.speed.workload import Workload
from planner.machine.calibration import Correction
from planner.machine.model import MachineModel

# Share of drafted tokens that are accepted: the paper's table 3 has 0.5 to 0.9 for drafts of a tenth of the
# model and less, prose at the low end, code and translation at the high one.
LOW_ACCEPTANCE, EXPECTED_ACCEPTANCE, HIGH_ACCEPTANCE = 0.5, 0.7, 0.9


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft model placed on the machine; ``max_tokens`` are drafted at a time."""

    workloads: Mapping[int, Workload]
    machine: MachineModel
    cparams: ContextParams
    max_tokens: int

    def prefill_s(self) -> float | None:
        return prefill_s(self.workloads, self.machine, self.cparams)


def decode(
    workloads: Mapping[int, Workload], machine: MachineModel, draft: Draft, correction: Correction
) -> Range | None:
    """Tokens/s. The range covers the spread of the rules and of the acceptance."""
    verify_s = decode_s(workloads, machine, draft.max_tokens + 1)
    draft_s = decode_s(draft.workloads, draft.machine)
    if verify_s is None or draft_s is None:
        return None
    round_s = (verify_s + draft.max_tokens * draft_s) / correction.ratio
    low, expected, high = (
        _tokens_per_round(acceptance, draft.max_tokens) / round_s
        for acceptance in (LOW_ACCEPTANCE, EXPECTED_ACCEPTANCE, HIGH_ACCEPTANCE)
    )
    return Range(low / (1 + correction.spread), expected, high * (1 + correction.spread))


def _tokens_per_round(acceptance: float, max_tokens: int) -> float:
    return float((1 - acceptance ** (max_tokens + 1)) / (1 - acceptance))
