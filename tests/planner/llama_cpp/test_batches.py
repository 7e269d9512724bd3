"""Batches: the ubatch that makes a whole turn fastest, and what several sequences gain together."""

from domain.hardware import Hardware
from domain.plan import LaunchOptions
from planner.llama_cpp import search
from tests.planner import build
from tests.planner.llama_cpp.test_search import LLAMA, MOE, OSS, context, flags_of


def test_a_large_ubatch_is_within_the_batch() -> None:
    machine = context(build.CARD_24)
    assert search.base_flags("f16", 4096, machine, 4096).batch == 4096
    assert search.base_flags("f16", 4096, machine, 1024).batch == 2048


def test_a_batch_that_makes_a_turn_faster_is_taken_where_a_gpu_reads_weights_of_the_host() -> None:
    machine = context(build.CARD_24)
    plain = search.find_candidates(OSS, 8192, machine)[0]
    tuned = search.tune(plain, machine)
    assert flags_of(plain).ubatch == 512 < flags_of(tuned).ubatch
    assert (tuned.score or 0) > (plain.score or 0)
    others = [search.with_ubatch(plain, ubatch, machine) for ubatch in search.LARGER_UBATCHES]
    assert tuned.score == max(other.score or 0 for other in others if other)
    whole = search.find_candidates(LLAMA, 8192, machine)[0]
    assert search.tune(whole, machine) is whole


def test_a_batch_that_makes_decode_too_slow_is_not_taken() -> None:
    """A ubatch of 1024 costs no expert its place on the GPU, larger ones do."""
    card = build.hardware(build.gpu(12))
    machine = context(card)
    plain = search.find_candidates(MOE, 8192, machine)[0]
    tuned = search.tune(plain, machine)
    assert plain.tokens_per_s is not None
    assert tuned.tokens_per_s is not None
    assert plain.tokens_per_s > tuned.tokens_per_s
    kept = search.tune(plain, context(card, LaunchOptions(min_decode_tokens_per_s=plain.tokens_per_s)))
    assert (flags_of(kept).ubatch, kept.tokens_per_s) == (1024, plain.tokens_per_s)
    slow = context(card, LaunchOptions(min_decode_tokens_per_s=1000))
    assert search.tune(plain, slow).score == tuned.score, "slow already: there is nothing to keep"


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
