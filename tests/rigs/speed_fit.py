"""Cross-validation of predicted speeds: each fifth of the published runs, predicted by efficiencies that were
fitted without it.

All runs of one box are in the same fold. Every fit begins at the same neutral values and is
penalised for leaving them, so that nothing of a fold is in what predicts it.
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
from planner.machine.efficiency import FITTED, Efficiency
from planner.machine.gpu_efficiency import BY_CLASS
from planner.machine.model import MachineModel
from tests.rigs.speed_boxes import rows
from tests.rigs.speed_rows import Row

FOLDS = 5
MIN_BOXES = 3
NEUTRAL: Mapping[str, Mapping[str, float]] = {
    "decode": {
        "read": 0.8, "expert_read": 0.75, "kv_read": 0.7, "attention": 8.0, "token_s": 200e-6,
        "op_s": 4e-6, "moe_layer_s": 16e-6,
    },
    "prefill": {"flops": 0.3, "expert_flops": 0.2, "prefill_attention": 0.2},
}  # fmt: skip
LARGEST: Mapping[str, float] = dict.fromkeys(("read", "expert_read", "kv_read"), 0.95)  # no memory gives all
PENALTY = 0.03  # of a value that is e times its neutral one, as an error
TINY = 1e-9
OUTLIER_ERROR = 0.8  # of an error beyond this a tenth counts, so that one odd run does not bend the others
STEPS = (1.5, 1.2, 1.06, 1.02)


@dataclass(frozen=True, slots=True)
class Case:
    """One published figure. ``phase`` is ``decode`` or ``prefill``; ``kind`` the key of ``BY_CLASS`` that
    predicts it."""

    row: Row
    phase: str
    measured: float
    kind: str
    machine: MachineModel
    cparams: ContextParams
    workloads: Mapping[int, workload.Workload]

    @property
    def group(self) -> tuple[str, str]:
        """The box and the model."""
        return (self.row.box, self.row.model)

    def predict(self, efficiency: Efficiency = FITTED) -> float | None:
        machine = replace(self.machine, efficiency=efficiency)
        if self.phase == "decode":
            seconds = decode_s(self.workloads, machine)
        else:
            seconds = prefill_s(self.workloads, machine, self.cparams)
        return 1 / seconds if seconds else None


@cache
def all_cases() -> tuple[Case, ...]:
    return tuple(case for row in rows() for case in _cases(row) if case.predict())


def _cases(row: Row) -> Iterable[Case]:
    layout = estimate.memory_layout(row.shape, row.flags, row.hardware)
    hparams, cparams, placement = layout.hparams, layout.cparams, layout.placement
    workloads = workload.device_workloads(row.shape, hparams, cparams, placement, row.depth_tokens)
    machine = roofline.machine_model(row.flags, placement, row.hardware)
    kind = roofline.speed_class(workloads, machine)
    if row.decode_tokens_per_s:
        yield Case(row, "decode", row.decode_tokens_per_s, kind, machine, cparams, workloads)
    if row.prefill_tokens_per_s:
        yield Case(row, "prefill", row.prefill_tokens_per_s, kind, machine, cparams, workloads)


@cache
def cross_validated(phase: str) -> tuple[tuple[Case, float], ...]:
    """Each figure of a run with all on GPUs, with the tokens/s predicted from the other four folds; of back
    ends that at least ``MIN_BOXES`` boxes were measured with."""
    found: list[tuple[Case, float]] = []
    for kind in BY_CLASS:
        cases_of_kind = [case for case in all_cases() if (case.kind, case.phase) == (kind, phase)]
        if len({case.row.box for case in cases_of_kind}) < MIN_BOXES:
            continue
        for fold in range(FOLDS):
            left_out = [case for case in cases_of_kind if case.row.digest % FOLDS == fold]
            if left_out:
                efficiency = fit(kind, phase, [case for case in cases_of_kind if case not in left_out])
                found += [(case, case.predict(efficiency) or 0.0) for case in left_out]
    return tuple(found)


def fit(kind: str, phase: str, cases: Sequence[Case]) -> Efficiency:
    """By coordinate descent on the values of one class."""
    values = dict(NEUTRAL[phase])
    best = _loss(kind, phase, values, cases)
    for step in STEPS:
        is_better = True
        while is_better:
            is_better = False
            for name, value in values.items():
                for factor in (step, 1 / step):
                    candidate = {**values, name: value * factor}
                    loss = _loss(kind, phase, candidate, cases)
                    if loss < best - 1e-5:
                        values, best, is_better = candidate, loss, True
                        break
    return _with_values(kind, values)


def _with_values(kind: str, values: Mapping[str, float]) -> Efficiency:
    limited = {name: min(value, LARGEST.get(name, value)) for name, value in values.items()}
    factors = replace(BY_CLASS[kind], **limited)  # type: ignore[arg-type]
    return replace(FITTED, by_class={**BY_CLASS, kind: factors})


def _loss(kind: str, phase: str, values: Mapping[str, float], cases: Sequence[Case]) -> float:
    """The weighted mean of the errors' logarithms. The runs of a box together weigh as the root of their
    number of models, those of a model as the root of their number."""
    efficiency = _with_values(kind, values)
    runs = Counter(case.group for case in cases)
    models = Counter(box for box, _ in runs)
    total = weights = 0.0
    for case in cases:
        weight = 1 / math.sqrt(runs[case.group] * models[case.row.box])
        error = abs(math.log((case.predict(efficiency) or TINY) / case.measured))
        total += weight * (min(OUTLIER_ERROR, error) + 0.1 * max(0.0, error - OUTLIER_ERROR))
        weights += weight
    penalty = sum(math.log(values[name] / neutral) ** 2 for name, neutral in NEUTRAL[phase].items())
    return (total / weights if weights else 0.0) + PENALTY * penalty
