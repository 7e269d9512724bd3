"""What the search for a plan loses: its choice beside the best of every option, by the estimator alone.

Options are quant x context x cache type x split x ubatch, for llama.cpp. Contexts: the wanted one, halves of
it, and the chosen one, since how long it may be for nothing is a rule of its own. Splits: on each number of
GPUs, the fastest first, the whole model, a grid of layers, and of layers whose experts stay on the CPU, with
the neighbours of what was chosen. Left out is what can't be the best: less of a model on GPUs that hold it
whole, and larger ubatches of what would not be the best if prompts took no time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import log2

from domain.launches.plan import LaunchOptions, LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose import choose
from planner.choose.candidates import Candidate
from planner.choose.context import WORTHWHILE_GAIN, SearchContext
from planner.choose.contexts import contexts_to_try, extend, wanted_context
from planner.choose.selection import select_best
from planner.choose.value import turn_s, use_of, value
from planner.engine import ENGINES
from planner.llama_cpp import search as llama_search
from planner.llama_cpp.cache_types import accepted_types
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.search import LARGER_UBATCHES, llama_flags
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.machine.gpu_budgets import gpu_budgets
from planner.model.hparams import read_hparams

STEPS = 6  # of the grid of layers, and of layers with experts on the CPU
NEIGHBOURS = (-2, -1, 1, 2)  # of what was chosen, too


@dataclass(frozen=True)
class Regret:
    """``lost``: percent of turns per hour, with quality and context in the same currency."""

    lost: float
    options: int
    chosen: Candidate
    best: Candidate


def regret(models: Sequence[ResolvedModel], hardware: Hardware) -> Regret | None:
    """``None`` where nothing fits."""
    options = LaunchOptions()
    search = SearchContext(hardware, options, UNCALIBRATED, DEFAULT_RESERVE)
    found = choose._search("a model", models, search)
    if not found.candidates:
        return None
    chosen = extend(select_best(found.candidates, options), search)
    chosen = ENGINES[chosen.engine].tune(chosen, search)
    best, count = chosen, 0
    for option in _every_option(found.choice.selectable, chosen, search):
        count += 1
        if objective(option, search) > (value(best, options) if best is chosen else objective(best, search)):
            best = option
    ahead = 0.0 if best is chosen else objective(best, search) - value(chosen, options)
    return Regret(100 * (1 - 2**-ahead), count, chosen, best)


def objective(option: Candidate, search: SearchContext) -> float:
    """Its value in doublings. A smaller cache type must gain what the search asks of it."""
    plainest = accepted_types(read_hparams(option.model.shape))[0]
    is_plain = llama_flags(option).cache_type_k.lower() == plainest.lower()
    return value(option, search.options) - (0.0 if is_plain else log2(WORTHWHILE_GAIN))


def _every_option(
    models: Sequence[ResolvedModel], chosen: Candidate, search: SearchContext
) -> Iterator[Candidate]:
    best = value(chosen, search.options)
    wanted = contexts_to_try(wanted_context(models, search.options), search.options)
    contexts = sorted({chosen.context_tokens, *wanted}, reverse=True)
    for model in models:
        for context_tokens, cache_type in product(contexts, accepted_types(read_hparams(model.shape))):
            is_whole = False
            for option in _of_cache(model, context_tokens, cache_type, chosen, search):
                yield option
                is_whole = is_whole or option.is_offloaded
                best = max(best, objective(option, search))
                if llama_flags(option).gpu_layers and _bound(option, search) > best:
                    yield from _with_larger_ubatches(option, search)
            if is_whole:
                break  # a shorter context and a smaller cache gain nothing any more


def _of_cache(
    model: ResolvedModel, context_tokens: int, cache_type: str, chosen: Candidate, search: SearchContext
) -> Iterator[Candidate]:
    """Each split; of those on one group of GPUs only the whole model where it fits."""
    hparams = read_hparams(model.shape)
    flags = llama_search._model_flags(model, cache_type, context_tokens, search)
    on_cpu = replace(flags, gpu_layers=0, devices=("none",) if search.hardware.gpus else ())
    for group in ([on_cpu], *_splits(flags, len(hparams.layers), bool(hparams.expert_count), chosen, search)):
        for split in group:
            option = llama_search._complete_candidate(model, hparams, split, context_tokens, search)
            if option is not None:
                yield option
                if option.is_offloaded and split.gpu_layers:
                    break


def _with_larger_ubatches(option: Candidate, search: SearchContext) -> Iterator[Candidate]:
    model, flags = option.model, llama_flags(option)
    for ubatch in LARGER_UBATCHES:
        larger = replace(flags, ubatch=ubatch, batch=max(2048, ubatch), cache_ram_mib=0)
        found = llama_search._complete_candidate(
            model, read_hparams(model.shape), larger, option.context_tokens, search
        )
        if found is not None:
            yield found


def _bound(option: Candidate, search: SearchContext) -> float:
    """Of the option if its prompts took no time."""
    use, seconds = use_of(search.options), turn_s(option, use_of(search.options))
    prefill = option.estimate.speed.prefill_tokens_per_s
    if seconds is None or prefill is None or not prefill.low:
        return float("inf")
    free_s = seconds - use.prompt_tokens / prefill.low
    return objective(option, search) + log2(seconds / free_s)


def _splits(
    flags: LlamaFlags, blocks: int, has_experts: bool, chosen: Candidate, search: SearchContext
) -> Iterator[list[LlamaFlags]]:
    """Of each group of GPUs, the whole model first."""
    own = llama_flags(chosen)
    for group in _groups(flags, search):
        layers = (ALL_LAYERS, *_grid(blocks, own.gpu_layers))
        splits = [replace(group, gpu_layers=count) for count in layers]
        if has_experts:
            experts = (*_grid(blocks, own.n_cpu_moe), blocks)
            splits += [replace(group, gpu_layers=ALL_LAYERS, n_cpu_moe=count) for count in experts]
        yield splits


def _grid(blocks: int, chosen: int | None) -> list[int]:
    steps = {blocks * step // STEPS for step in range(1, STEPS + 1)}
    if chosen is not None and chosen <= blocks:
        steps |= {chosen, *(chosen + more for more in NEIGHBOURS)}
    return sorted(step for step in steps if 0 < step <= blocks)


def _groups(flags: LlamaFlags, search: SearchContext) -> Iterator[LlamaFlags]:
    budgets = sorted(
        gpu_budgets(search.hardware, search.reserve),
        key=lambda budget: (-(budget.device.gpu.bandwidth_bytes_per_s or 0), -budget.available_bytes),
    )
    for count in range(1, len(budgets) + 1):
        if count == 1:
            yield replace(flags, split_mode="none", main_gpu=budgets[0].device.index)
            continue
        rooms = {budget.device.index: float(budget.available_bytes) for budget in budgets[:count]}
        shares = tuple(rooms.get(index, 0.0) for index in range(max(rooms) + 1))
        yield replace(flags, split_mode="layer", tensor_split=shares)
