"""What was measured on this box corrects what the rules say of the next model there.

A run counts as its speed over that of the rules alone, so that corrections never feed on corrections. Few
runs move a prediction a part of the way; a run that is far off, of a box that was busy, moves it no further
than the rules' own range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import pvariance

from domain.plan import LlamaFlags, SpeedSource

LATEST = 5  # runs of one model and command line that count
# Of the logarithm of measured over predicted: between models on one box, and between runs of one command
# line. Models of one back end differ by 5 to 20 % (docs/performance.md), runs of one by less.
BETWEEN_MODELS = 0.15
BETWEEN_RUNS = 0.10
NINE_OF_TEN = 1.645  # standard deviations on either side


@dataclass(frozen=True, slots=True)
class Run:
    """One run that was measured here. ``kind`` is what did the work (``cpu``, ``gpu + cpu``, ``gpu``),
    ``model`` the bytes of its files, ``line`` and ``prompt_line`` its flags as ``line_of`` and
    ``prompt_line_of`` give them; ``decode`` and ``prefill`` are measured tokens/s over what the rules alone
    say, ``None`` where not measured."""

    kind: str
    model: int
    line: str
    prompt_line: str
    decode: float | None = None
    prefill: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """``threads``: the count that decoded fastest. ``runs``: those of this box and engine build, the latest
    last."""

    threads: int | None = None
    threads_batch: int | None = None
    runs: tuple[Run, ...] = ()


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True)
class Correction:
    """``ratio`` times what the rules say; ``spread`` 0.3 is from 1 / 1.3 to 1.3 times that."""

    ratio: float
    spread: float
    source: SpeedSource


def line_of(flags: LlamaFlags) -> str:
    """What of a command line changes how fast it decodes, as one word."""
    return "|".join(str(part) for part in (*_placement(flags), flags.threads))


def prompt_line_of(flags: LlamaFlags) -> str:
    """What of it changes how fast it reads a prompt."""
    batch_threads = flags.threads_batch or flags.threads
    return "|".join(str(part) for part in (*_placement(flags), batch_threads, flags.ubatch))


def _placement(flags: LlamaFlags) -> tuple[object, ...]:
    return (
        flags.gpu_layers, flags.tensor_split, flags.split_mode, flags.devices, flags.overrides, flags.cpu_moe,
        flags.n_cpu_moe, flags.cache_type_k, flags.cache_type_v, flags.flash_attention, flags.repack,
        flags.kv_offload,
    )  # fmt: skip


def corrections(
    known: Calibration,
    kind: str,
    model: int,
    flags: LlamaFlags,
    *,
    decode_spread: float,
    prefill_spread: float,
) -> tuple[Correction, Correction]:
    """Of decode and of prefill."""
    runs = [run for run in known.runs if run.kind == kind]
    line, prompt_line = (line_of(flags), prompt_line_of(flags)) if runs else ("", "")
    own = [run for run in runs if (run.model, run.line) == (model, line)]
    own_prompts = [run for run in runs if (run.model, run.prompt_line) == (model, prompt_line)]
    return (
        _correction(_logs(own, "decode"), _by_model(runs, own, "decode"), decode_spread),
        _correction(_logs(own_prompts, "prefill"), _by_model(runs, own_prompts, "prefill"), prefill_spread),
    )


def _correction(own: Sequence[float], others: Sequence[float], spread: float) -> Correction:
    """Logarithms of measured over predicted: runs of this very line, and one figure of each other model."""
    if not own and not others:
        return Correction(1.0, spread, SpeedSource.PREDICTED)
    limit = log(1 + spread)
    centre, variance = _of_others(others, limit)
    if not own:
        source, after, left = SpeedSource.CORRECTED, centre, variance + BETWEEN_MODELS**2
    else:
        source, before = SpeedSource.MEASURED, 1 / (variance + BETWEEN_MODELS**2)
        weight = len(own) / BETWEEN_RUNS**2
        middle = max(centre - 2 * limit, min(centre + 2 * limit, _median(own)))
        after = (before * centre + weight * middle) / (before + weight)
        left = 1 / (before + weight) + BETWEEN_RUNS**2
    return Correction(exp(after), min(spread, exp(NINE_OF_TEN * sqrt(left)) - 1), source)


def _logs(runs: Sequence[Run], what: str) -> list[float]:
    """Of the latest that were measured."""
    ratios = [ratio for run in runs if (ratio := run.decode if what == "decode" else run.prefill)]
    return [log(ratio) for ratio in ratios[-LATEST:]]


def _by_model(runs: Sequence[Run], own: Sequence[Run], what: str) -> list[float]:
    """One figure for each model: many runs of one say little of the next."""
    others = [run for run in runs if run not in own]
    models = {run.model for run in others}
    found = [_logs([run for run in others if run.model == model], what) for model in sorted(models)]
    return [_median(one) for one in found if one]


def _of_others(found: Sequence[float], limit: float) -> tuple[float, float]:
    """Centre and its variance: the median, drawn towards the rules the more the fewer models there are."""
    rules = (limit / NINE_OF_TEN) ** 2
    if not found:
        return 0.0, rules
    count = len(found)
    scatter = max(BETWEEN_MODELS**2, pvariance(found))
    middle = max(-limit * count, min(limit * count, _median(found)))
    return middle * count / (count + scatter / rules), scatter * rules / (count * rules + scatter)


def _median(found: Sequence[float]) -> float:
    """Of an even count, the one of the two in the middle that is nearer to what the rules say."""
    ordered = sorted(found)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else min(ordered[half - 1 : half + 1], key=abs)
