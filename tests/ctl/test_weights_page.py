"""docs/weights.md shows what plan, pull, models and rm say of a hub that lists gpt-oss-120b."""

import re

import pytest

from tests.rigs import pull_page

# How far a pull is when it is looked at, and what this disk has left, are no promise
LINE = re.compile(r"(?:download  \d+ MiB of 94 MiB \(\d+ %\)(?:, \d+\.\d MB/s(?:, \d+\.\d s left)?)?\n)+")
FREE = re.compile(r"freed, [\d.]+ [GMT]iB free")


def settled(page: str) -> str:
    return FREE.sub("freed, and so much free", LINE.sub("download  so far\n", page))


@pytest.mark.slow  # real daemons and downloads
def test_the_page_shows_what_is_said() -> None:
    page, now = pull_page.PAGE.read_text(), pull_page.text()
    assert settled(page) == settled(now), "write it anew: python -m tests.rigs.pull_page"
    for shown in (page, now):
        assert re.search(r"download  \d+ MiB of 94 MiB \(\d+ %\), \d+\.\d MB/s, \d+\.\d s left\n", shown)
        assert settled(shown).count("download  so far\n") == 1
