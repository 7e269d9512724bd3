"""docs/clients.md: its settings are those of node-ctl connect, and its tests exist."""

from ctl.connect.clients import CLIENTS
from tests.conftest import ROOT
from tests.ctl.clients_page import PAGE, named_tests, written


def test_the_settings_are_those_that_connect_prints() -> None:
    page = PAGE.read_text()
    assert page == written(page), "python -m tests.ctl.clients_page"


def test_every_client_has_a_row_in_the_table() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for client in CLIENTS.values():
        if not client.title.startswith("clients of"):
            assert any(row.startswith(f"| {client.title}") for row in rows), client.title


def test_every_test_that_the_table_names_exists() -> None:
    named = named_tests(PAGE.read_text())
    assert named
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), (path, test)
