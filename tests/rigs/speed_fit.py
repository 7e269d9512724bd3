"""The planner's shares fitted again without a fifth of the published runs, which are then predicted.

All runs of one model on one box are in the same fold. A fit begins at the same neutral shares for every back
end and is drawn towards them, so that nothing of a fold is left in what predicts it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from planner.llama_cpp import estimate
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.speed import roofline, workload
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.machine import efficiency
from planner.machine.efficiency import Efficiency
from planner.machine.model import MachineModel
from tests.rigs.speed_rows import Row, rows

FOLDS = 5
NEUTRAL: Mapping[str, Mapping[str, float]] = {
    "decode": {
        "read": 0.8, "expert_read": 0.75, "kv_read": 0.7, "attention": 8.0, "token_s": 200e-6,
        "op_s": 4e-6, "moe_layer_s": 16e-6,
    },
    "prefill": {"flops": 0.3, "expert_flops": 0.2, "prefill_attention": 0.2},
}  # fmt: skip
PULL = 0.03  # of a share that is e times its neutral value: three per cent of error
FAR = 1.2  # of what a run is further off a tenth counts: one odd run must not bend the rest
STEPS = (1.5, 1.2, 1.06, 1.02)


@dataclass(frozen=True, slots=True)
class Case:
    """One published figure. ``kind``: the back end or the class that predicts it."""

    row: Row
    what: str
    measured: float
    kind: str
    box: MachineModel
    run: ContextParams
    work: Mapping[int, workload.Workload]

    def predicted(self, reach: Efficiency) -> float | None:
        box = replace(self.box, efficiency=reach)
        seconds = decode_s(self.work, box) if self.what == "decode" else prefill_s(self.work, box, self.run)
        return 1 / seconds if seconds else None


@cache
def cases() -> tuple[Case, ...]:
    return tuple(case for row in rows() for case in _cases(row) if case.predicted(efficiency.FITTED))


def _cases(row: Row) -> Iterable[Case]:
    laid = estimate.memory_layout(row.shape, row.flags, row.hardware)
    work = workload.device_workloads(row.shape, laid.hparams, laid.cparams, laid.placement, row.depth_tokens)
    box = roofline.machine_model(row.flags, laid.placement, row.hardware)
    kind = roofline.speed_class(work, box)
    if row.decode_tokens_per_s:
        yield Case(row, "decode", row.decode_tokens_per_s, kind, box, laid.cparams, work)
    if row.prefill_tokens_per_s:
        yield Case(row, "prefill", row.prefill_tokens_per_s, kind, box, laid.cparams, work)


@cache
def folded(what: str) -> tuple[tuple[Case, float], ...]:
    """Each figure of a GPU's that holds all, with what the other four folds make of it, in tokens/s."""
    found: list[tuple[Case, float]] = []
    for kind in efficiency.BY_CLASS:
        known = [case for case in cases() if (case.kind, case.what) == (kind, what)]
        for fold in range(FOLDS):
            left_out = [case for case in known if case.row.digest % FOLDS == fold]
            if left_out:
                reach = fitted(kind, what, [case for case in known if case not in left_out])
                found += [(case, case.predicted(reach) or 0.0) for case in left_out]
    return tuple(found)


def fitted(kind: str, what: str, known: Sequence[Case]) -> Efficiency:
    """Coordinate descent on the shares of one back end."""
    values = dict(NEUTRAL[what])
    best = _loss(kind, what, values, known)
    for step in STEPS:
        is_better = True
        while is_better:
            is_better = False
            for name, value in values.items():
                for factor in (step, 1 / step):
                    tried = {**values, name: value * factor}
                    loss = _loss(kind, what, tried, known)
                    if loss < best - 1e-5:
                        values, best, is_better = tried, loss, True
                        break
    return _with(kind, values)


def _with(kind: str, values: Mapping[str, float]) -> Efficiency:
    one = replace(efficiency.BY_CLASS[kind], **values)  # type: ignore[arg-type]
    return replace(efficiency.FITTED, by_class={**efficiency.BY_CLASS, kind: one})


def _loss(kind: str, what: str, values: Mapping[str, float], known: Sequence[Case]) -> float:
    """The mean error, of which the many depths of one model on one box have their root's share."""
    reach = _with(kind, values)
    runs = Counter(case.row.group for case in known)
    total = weights = 0.0
    for case in known:
        weight = 1 / math.sqrt(runs[case.row.group])
        error = abs((case.predicted(reach) or 0.0) / case.measured - 1)
        total += weight * (min(FAR, error) + 0.1 * max(0.0, error - FAR))
        weights += weight
    pull = sum(math.log(values[name] / start) ** 2 for name, start in NEUTRAL[what].items())
    return (total / weights if weights else 0.0) + PULL * pull
