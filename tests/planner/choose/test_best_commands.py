"""What is chosen beside what people publish as their best command, and what docs/planning.md shows of both.
``python -m tests.rigs.planning_page`` writes them anew."""

import json
from collections import Counter

import pytest

from tests.rigs import planning_page
from tests.rigs.best_commands import CAPTURE, bits, compared


def part_of(page: str, name: str) -> str:
    _, _, rest = page.partition(f"<!-- {name}: by tests.rigs.planning_page -->\n")
    return rest.partition(f"<!-- end of {name} -->")[0]


def test_each_command_has_a_source_and_the_ten_that_report_set_nothing() -> None:
    rows = json.loads(CAPTURE.read_text())["rows"]
    assert Counter(row["use"] for row in rows) == {"set": 30, "report": 10}
    assert all(row["source"] and row["published"]["quant"] for row in rows)


@pytest.mark.parametrize(
    ("quant", "kind"),
    [
        ("UD-IQ3_XXS", "1-3"),
        ("MXFP4", "4"),
        ("F16 (experts MXFP4)", "4"),
        ("UD-Q6_K_XL", "5-6"),
        ("BF16", "8+"),
    ],
)
def test_quants_are_compared_by_their_bits(quant: str, kind: str) -> None:
    assert bits(quant) == kind


def test_the_example_and_the_picture_are_those_of_the_planner() -> None:
    page = planning_page.PAGE.read_text()
    assert part_of(page, "example") == planning_page.example()
    assert planning_page.PICTURE.read_text() == planning_page.picture()


@pytest.mark.slow
def test_choices_agree_with_published_commands_as_docs_planning_says() -> None:
    rows = compared()
    alike = Counter(row.sets_constants for row in rows if row.is_alike)
    assert alike[True] >= 15
    assert alike[False] >= 2
    assert sum(row.same_place for row in rows) >= 35
    assert sum(row.same_speed for row in rows) >= 33
    assert part_of(planning_page.PAGE.read_text(), "commands") == planning_page.commands()
