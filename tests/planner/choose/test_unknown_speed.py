"""What is not known of a machine's speed makes nothing worth more."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Gpu, Hardware
from planner.choose import choose
from planner.choose.choose import plan
from planner.choose.context import SearchContext
from planner.choose.value import value
from planner.llama_cpp import search
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.model.hparams import read_hparams
from tests.planner import build
from tests.planner.choose.priced import candidate, model

MODELS = {
    "dense": build.candidates("llama-3.1-8b", "Q4_K_M", "Q8_0"),
    "experts": build.candidates("qwen3-30b-a3b", "Q4_K_M", "Q8_0"),
}
MACHINES = {
    "a card": build.hardware(build.gpu(12)),
    "two cards": build.TWO_3090,
    "unlike cards": build.UNEQUAL,
    "unified": build.STRIX_HALO,
    "a CPU": build.SMALL_CPU,
}
cases = st.tuples(
    st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(MACHINES)), st.sampled_from([None, 4])
)
# Not the arithmetic of a GPU: where it is unknown, that of usual ones of the same bandwidth is taken.
forgotten = st.lists(st.sampled_from(["bandwidth", "ram"]), min_size=1, unique=True)


def without(machine: Hardware, figures: list[str]) -> Hardware:
    def forget(gpu: Gpu) -> Gpu:
        return replace(gpu, bandwidth_bytes_per_s=None) if "bandwidth" in figures else gpu

    memory = replace(machine.memory, bandwidth_bytes_per_s=None) if "ram" in figures else machine.memory
    return replace(machine, gpus=tuple(map(forget, machine.gpus)), memory=memory)


@settings(max_examples=60, deadline=None)
@given(cases, forgotten)
def test_a_command_is_worth_no_more_on_a_machine_of_which_less_is_known(
    case: tuple[str, str, int | None], figures: list[str]
) -> None:
    name, box, parallel = case
    options, machine = LaunchOptions(parallel=parallel), MACHINES[box]
    known = SearchContext(machine, options, UNCALIBRATED, DEFAULT_RESERVE)
    blind = replace(known, hardware=without(machine, figures), overhead_hints={})
    for quant in MODELS[name]:
        for found in search.find_candidates(quant, 8192, known):
            hparams, flags = read_hparams(quant.shape), search.llama_flags(found)
            same = search._complete_candidate(quant, hparams, flags, 8192, blind)
            assert same is not None
            assert value(same, options) <= value(found, options) + 1e-9


def test_a_mac_of_unknown_bandwidth_gets_a_usual_quant_and_no_speed() -> None:
    machine = without(build.hardware(build.gpu(96, vendor="apple")), ["bandwidth", "ram"])
    chosen = plan("m", build.candidates("qwen3-32b", "Q4_K_M", "Q8_0"), machine, LaunchOptions())
    assert (chosen.weights.quant, chosen.speed.decode_tokens_per_s) == ("Q4_K_M", None)


def test_where_no_speed_is_known_bytes_stand_for_time() -> None:
    """Sizes of a model in 16, 8.5, 5.7 and 4.9 bits."""
    sizes = {"F16": 1600, "Q8_0": 850, "Q5_K_M": 570, "Q4_K_M": 490}
    found = [replace(candidate(quant, None), model=model(quant, size)) for quant, size in sizes.items()]
    assert choose.select_best(found, LaunchOptions()).quant == "Q5_K_M"
    assert choose.select_best(found[:2], LaunchOptions()).quant == "Q8_0"
    assert choose.select_best(found, LaunchOptions(quality="fast")).quant == "Q4_K_M"


def test_prompts_and_batches_of_unknown_speed_are_not_taken_for_fast() -> None:
    """One at 30 tokens/s that reads prompts at 90 or faster, and four that share 30 tokens/s or more."""
    unknown, slow = (candidate("Q8_0", 30.0, prefill=rate) for rate in (None, 90.1))
    assert value(unknown, LaunchOptions()) < value(slow, LaunchOptions())
    in_turn = replace(unknown, parallel=4)
    assert in_turn.tokens_per_s == 7.5
    assert value(in_turn, LaunchOptions()) < value(candidate("Q8_0", 30.0, batch=31.0), LaunchOptions())
