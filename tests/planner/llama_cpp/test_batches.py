"""Batches: the ubatch that makes a whole turn fastest, and what several sequences gain together."""

from math import inf

from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Hardware
from planner.choose.candidates import Candidate
from planner.choose.value import USES, turn_s
from planner.llama_cpp import search
from tests.planner import build
from tests.planner.llama_cpp.test_search import LLAMA, MOE, OSS, context, flags_of


def test_a_large_ubatch_is_within_the_batch() -> None:
    machine = context(build.CARD_24)
    assert search.base_flags("f16", 4096, machine, 4096).batch == 4096
    assert search.base_flags("f16", 4096, machine, 1024).batch == 2048


def chat_s(candidate: Candidate) -> float:
    return turn_s(candidate, USES["chat"]) or inf


def test_a_batch_that_makes_a_turn_faster_is_taken() -> None:
    machine = context(build.CARD_24)
    plain = search.find_candidates(OSS, 8192, machine)[0]
    tuned = search.tune(plain, machine)
    assert flags_of(plain).ubatch == 512 < flags_of(tuned).ubatch
    others = [search.with_ubatch(plain, ubatch, machine) for ubatch in search.LARGER_UBATCHES]
    fastest = min(chat_s(other) for other in others if other)
    assert fastest <= chat_s(tuned) <= search.WORTHWHILE_UBATCH_GAIN * fastest < chat_s(plain)
    whole = search.find_candidates(LLAMA, 8192, machine)[0]
    assert search.tune(whole, machine) is whole, "a dense model gains next to nothing"
    on_cores = search.find_candidates(LLAMA, 8192, context(build.hardware()))[0]
    assert search.tune(on_cores, context(build.hardware())) is on_cores


def test_a_batch_for_which_a_layer_would_leave_the_gpu_is_not_taken() -> None:
    """A card that holds the experts with a ubatch of 512, and not with one of 4096."""
    sizes = (19.6, 20.0, 20.4, 20.8, 21.2, 21.6, 22.0)
    for size in sizes:
        machine = context(build.hardware(build.gpu(size)))
        plain = search.find_candidates(MOE, 8192, machine)[0]
        if plain.is_offloaded:
            break
    assert plain.is_offloaded
    assert search.tune(plain, machine).is_offloaded


def test_prices_are_compared_with_the_batch_of_the_chosen_one() -> None:
    machine = context(build.CARD_24)
    plain = search.find_candidates(OSS, 8192, machine)[0]
    chosen = search.with_ubatch(plain, 2048, machine)
    assert chosen is not None
    alike = search.with_batch_of(plain, chosen, machine)
    assert flags_of(alike).ubatch == 2048
    assert search.with_batch_of(chosen, chosen, machine) is chosen
    whole = search.find_candidates(LLAMA, 8192, machine)[0]
    assert search.with_batch_of(whole, chosen, machine) is whole
    no_room = context(build.hardware(ram_gib=8))
    assert search.with_batch_of(plain, chosen, no_room) is plain


def together(parallel: int, machine: Hardware = build.CARD_24) -> tuple[float | None, float]:
    """Tokens/s of all sequences, and of one alone."""
    options = LaunchOptions(parallel=parallel)
    found = search.find_candidates(LLAMA, 1024, context(machine, options))[0]
    assert found.decode_tokens_per_s is not None
    return found.batch_tokens_per_s, found.decode_tokens_per_s


def test_several_sequences_share_what_a_batch_gains() -> None:
    """At most three quarters of so many single ones (a published run), less where arithmetic bounds it."""
    assert together(1)[0] is None
    before = 0.0
    for parallel in (2, 4, 32):
        all_of_them, one = together(parallel)
        assert all_of_them is not None
        assert max(one, before) < all_of_them <= 0.76 * parallel * one
        before = all_of_them
    assert before < 0.5 * 32 * together(32)[1]


def test_an_unknown_speed_of_one_is_an_unknown_speed_of_all() -> None:
    blind = context(build.hardware(gb_per_s=None), LaunchOptions(parallel=4))
    assert search.find_candidates(LLAMA, 1024, blind)[0].batch_tokens_per_s is None
