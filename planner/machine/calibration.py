"""What was measured on this box corrects what the rules say of the next model there.

A run counts as its speed over that of the rules alone, so that corrections never feed on corrections. Few
runs move a prediction a part of the way; a run that is far off, of a box that was busy, moves it no further
than the rules' own range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean

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
    if not runs:
        return _correction((), (), decode_spread), _correction((), (), prefill_spread)
    own, others = _apart([(run.model, run.line, run.decode) for run in runs], (model, line_of(flags)))
    decode = _correction(own, others, decode_spread)
    own, others = _apart(
        [(run.model, run.prompt_line, run.prefill) for run in runs], (model, prompt_line_of(flags))
    )
    return decode, _correction(own, others, prefill_spread)


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


def _apart(
    seen: Sequence[tuple[int, str, float | None]], mine: tuple[int, str]
) -> tuple[list[float], list[float]]:
    """Logarithms of the latest ratios of ``mine``, and one figure for each model of the others: many runs of
    one say little of the next."""
    own: list[float] = []
    models: dict[int, list[float]] = {}
    for model, line, ratio in seen:
        if ratio:
            (own if (model, line) == mine else models.setdefault(model, [])).append(log(ratio))
    return own[-LATEST:], [_median(found[-LATEST:]) for found in models.values()]


def _of_others(found: Sequence[float], limit: float) -> tuple[float, float]:
    """Centre and its variance: the median, drawn towards the rules the more the fewer models there are."""
    rules = (limit / NINE_OF_TEN) ** 2
    if not found:
        return 0.0, rules
    count = len(found)
    mean = fmean(found)
    scatter = max(BETWEEN_MODELS**2, fmean((one - mean) ** 2 for one in found))
    middle = max(-limit * count, min(limit * count, _median(found)))
    return middle * count / (count + scatter / rules), scatter * rules / (count * rules + scatter)


def _median(found: Sequence[float]) -> float:
    """Of an even count, the one of the two in the middle that is nearer to what the rules say."""
    ordered = sorted(found)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else min(ordered[half - 1 : half + 1], key=abs)
