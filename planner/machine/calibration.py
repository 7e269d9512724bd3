"""Measured runs on a machine correct the predictions for the next model there.

A run counts as its speed over that of the rules alone, so corrections never build on corrections. A few runs
move a prediction part of the way; an outlier, as from a busy machine, moves it no further than the rules' own
range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean

from domain.launches.plan import LlamaFlags, SpeedSource

LATEST_RUNS = 5  # runs of one model and command line that count
# Standard deviations of the logarithm of measured over predicted: between models on one machine, and between
# runs of one command line. Models of one back end differ by 5 to 20 % (docs/performance.md), runs of one by
# less.
BETWEEN_MODELS = 0.15
BETWEEN_RUNS = 0.10
Z_90_PERCENT = 1.645  # standard deviations on either side


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. Stored as JSON: its fields keep their names.

    ``kind``: what did the work (``cpu``, ``gpu + cpu``, ``gpu``). ``model``: bytes of its files. ``line`` and
    ``prompt_line``: its flags as ``decode_key`` and ``prefill_key`` give them. ``decode`` and ``prefill``:
    measured tokens/s over what the rules alone predict, ``None`` if not measured. ``depth`` and
    ``prompt_depth``: the tokens in the context when each was measured, 0 for a few. ``busy``: other work kept
    the CPUs busy, so it says nothing of other models."""

    kind: str
    model: int
    line: str
    prompt_line: str
    decode: float | None = None
    prefill: float | None = None
    depth: int = 0
    prompt_depth: int = 0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Calibration:
    """``threads``: the count that decoded fastest. ``runs``: those of this machine and engine build, the
    latest last."""

    threads: int | None = None
    threads_batch: int | None = None
    runs: tuple[Run, ...] = ()


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True)
class Correction:
    """``ratio``: factor on what the rules predict; ``spread`` 0.3 is from 1 / 1.3 to 1.3 times that."""

    ratio: float
    spread: float
    source: SpeedSource


def decode_key(flags: LlamaFlags) -> str:
    """The flags that change how fast a command line decodes, as one word."""
    return "|".join(str(part) for part in (*_placement(flags), flags.threads))


def prefill_key(flags: LlamaFlags) -> str:
    """The flags that change how fast it reads a prompt, as one word."""
    batch_threads = flags.threads_batch or flags.threads
    return "|".join(str(part) for part in (*_placement(flags), batch_threads, flags.ubatch))


def _placement(flags: LlamaFlags) -> tuple[object, ...]:
    return (
        flags.gpu_layers, flags.tensor_split, flags.split_mode, flags.devices, flags.overrides, flags.cpu_moe,
        flags.n_cpu_moe, flags.cache_type_k, flags.cache_type_v, flags.flash_attention, flags.repack,
        flags.kv_offload,
    )  # fmt: skip


def corrections(
    calibration: Calibration,
    hardware_class: str,
    model_bytes: int,
    flags: LlamaFlags,
    *,
    decode_spread: float,
    prefill_spread: float,
    depth_tokens: int = 0,
) -> tuple[Correction, Correction]:
    """The corrections of decode and of prefill, for a context with ``depth_tokens`` in it."""
    runs = [
        run
        for run in calibration.runs
        if run.kind == hardware_class and not (run.busy and run.model != model_bytes)
    ]
    if not runs:
        return _correction((), (), decode_spread), _correction((), (), prefill_spread)
    decode_runs = [(run.model, run.line, run.decode, run.depth) for run in runs]
    own, others = _split_runs(decode_runs, (model_bytes, decode_key(flags)), depth_tokens)
    decode = _correction(own, others, decode_spread)
    prefill_runs = [(run.model, run.prompt_line, run.prefill, run.prompt_depth) for run in runs]
    own, others = _split_runs(prefill_runs, (model_bytes, prefill_key(flags)), depth_tokens)
    return decode, _correction(own, others, prefill_spread)


def _correction(own: Sequence[float], others: Sequence[float], spread: float) -> Correction:
    """From logarithms of measured over predicted: ``own`` runs of this command line, and one figure for each
    of the ``others``, which are other models."""
    if not own and not others:
        return Correction(1.0, spread, SpeedSource.PREDICTED)
    limit = log(1 + spread)
    prior, prior_variance = _combine_models(others, limit)
    prior_variance += BETWEEN_MODELS**2
    if not own:
        source, centre, variance = SpeedSource.CORRECTED, prior, prior_variance
    else:
        source, prior_weight, own_weight = (
            SpeedSource.MEASURED,
            1 / prior_variance,
            len(own) / BETWEEN_RUNS**2,
        )
        median = max(prior - 2 * limit, min(prior + 2 * limit, _median(own)))
        centre = (prior_weight * prior + own_weight * median) / (prior_weight + own_weight)
        variance = 1 / (prior_weight + own_weight) + BETWEEN_RUNS**2
    return Correction(exp(centre), min(spread, exp(Z_90_PERCENT * sqrt(variance)) - 1), source)


def _split_runs(
    runs: Sequence[tuple[int, str, float | None, int]], key: tuple[int, str], depth_tokens: int
) -> tuple[list[float], list[float]]:
    """Logarithms of the latest ratios of ``key``, and one figure for each other model, since many runs of one
    model say little about the next."""
    own: list[tuple[int, float]] = []
    by_model: dict[int, list[tuple[int, float]]] = {}
    for model, flags_key, ratio, depth in runs:
        if ratio:
            ratios = own if (model, flags_key) == key else by_model.setdefault(model, [])
            ratios.append((depth, log(ratio)))
    others = [_median(_ratios_at(ratios, depth_tokens)) for ratios in by_model.values()]
    return _ratios_at(own, depth_tokens), others


def _ratios_at(ratios: Sequence[tuple[int, float]], depth_tokens: int) -> list[float]:
    """The latest ratios at this depth: between two measured depths by interpolation, beyond them those of the
    nearest. What the rules get wrong about attention grows with the depth."""
    depths = sorted({depth for depth, _ in ratios})
    if not depths:
        return []
    below = max((depth for depth in depths if depth <= depth_tokens), default=depths[0])
    above = min((depth for depth in depths if depth >= depth_tokens), default=depths[-1])
    lower = [ratio for depth, ratio in ratios if depth == below][-LATEST_RUNS:]
    if below == above:
        return lower
    upper = [ratio for depth, ratio in ratios if depth == above][-LATEST_RUNS:]
    share = (depth_tokens - below) / (above - below)
    return [
        (1 - share) * low + share * high for low, high in zip(reversed(lower), reversed(upper), strict=False)
    ]


def _combine_models(model_ratios: Sequence[float], limit: float) -> tuple[float, float]:
    """The centre and its variance: the median, closer to the rules the fewer models there are."""
    rules = (limit / Z_90_PERCENT) ** 2
    if not model_ratios:
        return 0.0, rules
    count = len(model_ratios)
    mean = fmean(model_ratios)
    scatter = max(BETWEEN_MODELS**2, fmean((ratio - mean) ** 2 for ratio in model_ratios))
    median = max(-limit * count, min(limit * count, _median(model_ratios)))
    return median * count / (count + scatter / rules), scatter * rules / (count * rules + scatter)


def _median(ratios: Sequence[float]) -> float:
    """Of an even count, the one of the two middle values that is closer to the rules."""
    ordered = sorted(ratios)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else min(ordered[half - 1 : half + 1], key=abs)
