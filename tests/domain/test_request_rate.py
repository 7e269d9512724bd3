"""Rates of keys: how they are written, and what they let through."""

import pytest

from domain.request_rate import Allowance, RequestRate, parse_request_rate


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("60/min", RequestRate(60, 60), "60/min"),
        ("5 requests / second", RequestRate(5, 1), "5/s"),
        ("3/sec", RequestRate(3, 1), "3/s"),
        ("4 / minute", RequestRate(4, 60), "4/min"),
        (f"{10**12}/s", RequestRate(10**12, 1), f"{10**12}/s"),
        ("1 request/h", RequestRate(1, 3600), "1/hour"),
        ("200000 tokens/Day", RequestRate(200_000, 86_400, of_tokens=True), "200000 tokens/day"),
    ],
)
def test_a_rate_is_read_as_owners_write_it_and_shown_in_one_form(
    text: str, rate: RequestRate, shown: str
) -> None:
    assert parse_request_rate(text) == rate
    assert str(rate) == shown
    assert parse_request_rate(shown) == rate


@pytest.mark.parametrize(
    "text", ["", "60", "0/min", "-1/min", "60/year", "6e3/min", "60 words/min", f"{10**12 + 1}/s"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 60/min"):
        parse_request_rate(text)


def test_a_client_may_use_its_period_at_once_and_then_waits_for_its_share() -> None:
    allowance = Allowance(RequestRate(2, 60))
    for _ in range(2):
        assert allowance.wait_s(100.0) == 0.0
        allowance.take(1, 100.0)
    assert allowance.wait_s(100.0) == 30.0
    assert allowance.wait_s(115.0) == 15.0
    assert allowance.wait_s(130.0) == 0.0
    allowance.take(1, 130.0)
    assert allowance.wait_s(10_000.0) == 0.0
    allowance.take(2, 10_000.0)  # no more than a period is saved up
    assert allowance.wait_s(10_000.0) == 30.0


def test_a_long_answer_is_paid_for_before_the_next() -> None:
    allowance = Allowance(RequestRate(1000, 60, of_tokens=True))
    allowance.take(3000, 0.0)
    assert allowance.wait_s(0.0) == pytest.approx(120.06)
    assert allowance.wait_s(121.0) == 0.0
