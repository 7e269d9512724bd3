"""The search finds what trying every option would: ``bench/regret.py`` looks at more pairs."""

import pytest

from config.data import profile
from tests.rigs.catalogue_models import resolved_models
from tests.rigs.regret import regret

MOST_PERCENT = 1.0  # of turns per hour


@pytest.mark.parametrize(
    ("model", "box"), [("qwen3-8b", "n100-8gb"), ("qwen3-8b", "rtx-4090"), ("ministral-3-8b", "rtx-3090")]
)
def test_the_search_loses_next_to_nothing_beside_every_option(model: str, box: str) -> None:
    found = regret(resolved_models(model), profile(box))
    assert found is not None
    assert 0 <= found.lost <= MOST_PERCENT, (found.chosen.flags, found.best.flags)
