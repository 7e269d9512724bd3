"""docs/doctor.md lists every check, with what it says."""

from daemon.doctor.service import CHECKS
from tests.daemon.doctor.checks import page


def test_the_page_tells_what_the_checks_say() -> None:
    assert page.PAGE.read_text() == page.text(), "write it anew: python -m tests.daemon.doctor.checks.page"


def test_every_check_that_can_find_something_shows_it_with_its_fix() -> None:
    for section in page.PAGE.read_text().split("\n### ")[1:]:
        name = section.splitlines()[0]
        assert name in CHECKS
        assert "  - why: " in section, name
        assert "  - fix: " in section, name
