"""Writes the settings in docs/clients.md as connect prints them: ``python -m tests.ctl.clients_page``."""

import re
from pathlib import Path

from ctl.connect import show
from ctl.connect.clients import CLIENTS
from ctl.connect.formats import Format
from ctl.connect.setup import Client, ServedModel, Service
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "clients.md"
BEGINS, ENDS = "<!-- settings: written by tests/ctl/clients_page.py -->\n", "<!-- end of settings -->\n"
MODEL = ServedModel("gpt-oss-20b", 65_536)
SERVICE = Service("http://127.0.0.1:8411", (MODEL,), MODEL, Path("~"))


def settings() -> str:
    return "\n".join(_section(client) for client in CLIENTS.values())


def _section(client: Client) -> str:
    setup = client.setup(SERVICE)
    language = {Format.JSON: "json", Format.TOML: "toml", Format.YAML: "yaml"}
    kinds = {language[file.format] for file in setup.files} or {"sh" if setup.variables else ""}
    kind = kinds.pop() if len(kinds) == 1 else ""
    return (
        f"### {client.title}\n\n`node-ctl connect {client.name}`. Source: {client.source}\n\n"
        f"```{kind}\n{show.text(setup)}```\n"
    )


def written(page: str) -> str:
    """``page`` with the settings of today."""
    head, _, rest = page.partition(BEGINS)
    return f"{head}{BEGINS}\n{settings()}\n{ENDS}{rest.partition(ENDS)[2]}"


def named_tests(page: str) -> list[tuple[str, str]]:
    """The file and the test of each ``file::test`` that the page names."""
    return re.findall(r"`(tests/[\w/]+\.(?:py|mjs))(?:::(\w+))?`", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
