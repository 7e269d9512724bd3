"""Published speeds of vLLM, as the planner predicts them and by folds over boxes.

Decode of several sequences is that of all together; where a row tells prompt and answer, it is that of whole
requests. A fold is a fifth of the boxes: what predicts it was fitted to the others, from the same neutral
values.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from domain.launches.plan import Range, VllmFlags
from domain.machine.hardware import Hardware
from domain.serialization import from_json
from planner.machine.efficiency import speed_range
from planner.vllm.memory.devices import batch_limits
from planner.vllm.memory.kv_blocks import KvBlockLayout, kv_block_layout
from planner.vllm.model_config import read_config
from planner.vllm.speed import roofline
from planner.vllm.speed.efficiency import BY_CLASS, VllmEfficiency, efficiency_class
from planner.vllm.speed.workload import Workload, workload_of
from tests.rigs.speed_shapes import CAPTURES
from tests.rigs.vllm_shapes import ALL, published_shape

FOLDS = 5
FITTED = (
    *("read", "expert_read", "layer_s", "moe_layer_s", "recurrent_layer_s", "reduce_s", "sequence_s"),
    *("flops", "expert_flops", "attention_flops"),
)
# Before any row was looked at: what llama.cpp reaches on cards, and NCCL's latency of small sums.
NEUTRAL: Mapping[str, float] = {
    "read": 0.8, "expert_read": 0.75, "layer_s": 30e-6, "moe_layer_s": 45e-6, "recurrent_layer_s": 40e-6,
    "reduce_s": 15e-6, "sequence_s": 50e-6, "flops": 0.6, "expert_flops": 0.4, "attention_flops": 0.4,
}  # fmt: skip
LARGEST = {"read": 0.97, "expert_read": 0.97, "flops": 1.0, "expert_flops": 1.0, "attention_flops": 1.0}
PENALTY = 0.01  # of a value that is e times its neutral one, as an error
OUTLIER_ERROR = 0.8  # of an error beyond this a tenth counts, so that one odd run does not bend the others
STEPS = (1.5, 1.2, 1.06)
Classes = Mapping[str, VllmEfficiency]


@dataclass(frozen=True, slots=True)
class Case:
    """``phase``: ``decode``, ``many`` or ``prefill``. ``kind``: the key of ``BY_CLASS`` that predicts it."""

    number: int
    box: str
    model: str
    quant: str
    phase: str
    kind: str
    measured: float
    sequences: int
    prompt_tokens: int
    answer_tokens: int
    depth_tokens: int
    batch_tokens: int
    workload: Workload
    kv_blocks: KvBlockLayout
    ranks: tuple[int, ...]
    hardware: Hardware
    is_eager: bool = False

    @property
    def fold(self) -> int:
        """Left to chance."""
        return int(hashlib.sha256(self.box.encode()).hexdigest(), 16) % FOLDS

    def predict(self, classes: Classes = BY_CLASS) -> float:
        gpus = [self.hardware.gpus[index] for index in self.ranks]
        prompt = max(1, self.prompt_tokens)
        prefill = roofline.prefill_speed(
            self.workload, gpus, prompt_tokens=prompt, batch_tokens=self.batch_tokens, classes=classes
        )
        assert prefill is not None
        if self.phase == "prefill":
            return prefill.expected
        step_s = roofline.step_s(
            self.workload,
            gpus,
            self.hardware,
            kv_blocks=self.kv_blocks,
            depth_tokens=self.depth_tokens,
            sequences=self.sequences,
            is_eager=self.is_eager,
            classes=classes,
        )
        assert step_s is not None
        if not self.answer_tokens:
            return self.sequences / step_s
        prompts_s = self.sequences * self.prompt_tokens / prefill.expected
        return self.sequences * self.answer_tokens / (prompts_s + step_s * self.answer_tokens)


@dataclass(frozen=True, slots=True)
class Comparison:
    case: Case
    predicted: Range

    @property
    def ratio(self) -> float:
        return self.predicted.expected / self.case.measured

    @property
    def error(self) -> float:
        return abs(self.ratio - 1)

    @property
    def is_in_range(self) -> bool:
        return self.predicted.low <= self.case.measured <= self.predicted.high


@cache
def cases() -> tuple[Case, ...]:
    capture = json.loads((CAPTURES / "bench-vllm.json").read_text())
    boxes = {name: from_json(Hardware, box) for name, box in capture["boxes"].items()}
    return tuple(_case(row, boxes[row["box"]], capture["models"][row["model"]]) for row in capture["rows"])


def _case(row: Mapping[str, object], hardware: Hardware, facts: Mapping[str, object]) -> Case:
    quant, ranks = str(row["quant"]), tuple(range(int(str(row["ranks"]))))
    shape = published_shape(facts, quant)
    config = read_config(shape)
    flags = VllmFlags(tensor_parallel=len(ranks), kv_cache_dtype=str(row.get("kv_cache_dtype", "auto")))
    batch_tokens, _ = batch_limits(flags, hardware.gpus[0])
    sequences, phase = int(str(row["sequences"])), str(row["phase"])
    return Case(
        number=int(str(row["id"])),
        box=str(row["box"]),
        model=str(row["model"]),
        quant=quant,
        phase="many" if phase == "decode" and sequences > 1 else phase,
        kind=efficiency_class(hardware.gpus),
        measured=float(str(row["tokens_per_s"])),
        sequences=sequences,
        prompt_tokens=int(str(row["prompt_tokens"])),
        answer_tokens=int(str(row["answer_tokens"])),
        depth_tokens=int(str(row["depth_tokens"])),
        batch_tokens=batch_tokens,
        workload=workload_of(shape, config, quant.removesuffix(ALL)),
        kv_blocks=kv_block_layout(
            config,
            ranks=len(ranks),
            dtype="auto",
            cache_dtype=flags.kv_cache_dtype,
            on_gpu=True,
            in_flight_tokens=2 * batch_tokens,
        ),
        ranks=ranks,
        hardware=hardware,
        is_eager=row.get("enforce_eager") is True,
    )


@cache
def comparisons() -> tuple[Comparison, ...]:
    return tuple(_compare(case, case.predict()) for case in cases())


@cache
def folds() -> tuple[Comparison, ...]:
    found = []
    for kind in BY_CLASS:
        own = [case for case in cases() if case.kind == kind]
        for fold in sorted({case.fold for case in own}):
            fitted = fit(kind, [case for case in own if case.fold != fold])
            found += [_compare(case, case.predict(fitted)) for case in own if case.fold == fold]
    return tuple(found)


def _compare(case: Case, predicted: float) -> Comparison:
    own = BY_CLASS[case.kind]
    spread = own.prefill_spread if case.phase == "prefill" else own.decode_spread
    return Comparison(case, speed_range(predicted, spread))


def fit(kind: str, own: Sequence[Case]) -> Classes:
    """By coordinate descent on the values of one class."""
    values = dict(NEUTRAL)
    best = _loss(kind, values, own)
    for step in STEPS:
        is_better = True
        while is_better:
            is_better = False
            for name, value in values.items():
                for factor in (step, 1 / step):
                    candidate = {**values, name: value * factor}
                    loss = _loss(kind, candidate, own)
                    if loss < best - 1e-5:
                        values, best, is_better = candidate, loss, True
                        break
    return with_values(kind, values)


def with_values(kind: str, values: Mapping[str, float]) -> Classes:
    limited = {name: min(value, LARGEST.get(name, value)) for name, value in values.items()}
    return {**BY_CLASS, kind: replace(BY_CLASS[kind], **limited)}


def _loss(kind: str, values: Mapping[str, float], own: Sequence[Case]) -> float:
    """The weighted mean of the errors' logarithms: the runs of a box with one model and phase weigh together
    as the root of their number."""
    classes = with_values(kind, values)
    runs = Counter((case.box, case.model, case.phase) for case in own)
    total = weights = 0.0
    for case in own:
        weight = 1 / math.sqrt(runs[case.box, case.model, case.phase])
        error = abs(math.log(case.predict(classes) / case.measured))
        total += weight * (min(OUTLIER_ERROR, error) + 0.1 * max(0.0, error - OUTLIER_ERROR))
        weights += weight
    penalty = sum(math.log(values[name] / neutral) ** 2 for name, neutral in NEUTRAL.items())
    return (total / weights if weights else 0.0) + PENALTY * penalty


def fitted_values(kind: str) -> dict[str, float]:
    """Of all boxes, to be written into the planner."""
    classes = fit(kind, [case for case in cases() if case.kind == kind])
    return {
        item.name: getattr(classes[kind], item.name) for item in fields(VllmEfficiency) if item.name in FITTED
    }


def quantile(found: Sequence[Comparison], share: float) -> float:
    errors = sorted(comparison.error for comparison in found)
    return errors[min(len(errors) - 1, int(share * len(errors)))]


def coverage(found: Sequence[Comparison]) -> float:
    return sum(comparison.is_in_range for comparison in found) / len(found)


def select(found: Sequence[Comparison], phase: str, kind: str | None = None) -> list[Comparison]:
    return [
        comparison
        for comparison in found
        if comparison.case.phase == phase and kind in (None, comparison.case.kind)
    ]


def table() -> str:
    """Median, p90 and worst error by phase and class, as the planner predicts and by folds."""
    lines = []
    for phase, what in (("decode", "one stream"), ("many", "several streams"), ("prefill", "prefill")):
        for title, found in (("fitted", comparisons()), ("folds over boxes", folds())):
            head = f"vLLM {what}, {title}"
            lines.append(
                f"{head:38} {'rows':>4} {'boxes':>6} {'median':>7} {'p90':>7} {'worst':>7} {'in range':>9}"
            )
            for kind in (None, *BY_CLASS):
                if own := select(found, phase, kind):
                    boxes = len({comparison.case.box for comparison in own})
                    errors = " ".join(f"{quantile(own, share):7.1%}" for share in (0.5, 0.9, 1.0))
                    name = f"  {kind or 'together'}"
                    lines.append(f"{name:38} {len(own):4} {boxes:6} {errors} {coverage(own):9.0%}")
    return "\n".join(lines)
