"""docs/cli.md says what the commands say."""

from tests.ctl import cli_page


def test_the_page_is_the_real_help() -> None:
    assert cli_page.PAGE.read_text() == cli_page.text(), "write it anew: python -m tests.ctl.cli_page"
