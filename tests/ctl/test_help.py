"""Help: every command has examples that parse, and asking for help loads nothing heavy."""

import re
import shlex
import subprocess
import sys

import pytest
import typer

from ctl.main import COMMANDS, _load, app
from tests.conftest import ROOT
from tests.ctl.cli_page import pages
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon

HEAVY = ("rich", "httpx", "pydantic", "fastapi", "uvicorn", "huggingface_hub", "http.client", "asyncio")
ASKS = """
import sys
from ctl.main import main
status = main({args!r})
loaded = [name for name in {heavy!r} if name in sys.modules]
print(status, *loaded, file=sys.stderr)
"""


def loaded(*args: str) -> list[str]:
    """The exit status, then which heavy modules are loaded after node-ctl ran in a child."""
    code = ASKS.format(args=list(args), heavy=HEAVY)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr.split()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_nothing_heavy(option: str) -> None:
    assert loaded(option) == ["0"]


def test_a_question_to_the_daemon_loads_no_drawing_and_no_second_http(ctl: Ctl) -> None:
    code = ASKS.format(args=["--socket", str(ctl.home / "none"), "ps", "--json"], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stderr.splitlines()[-1].split()
    assert not {"rich", "httpx", "fastapi", "huggingface_hub"} & set(modules)


def test_the_list_has_every_command_with_its_whole_line(ctl: Ctl) -> None:
    out = ctl("--help", COLUMNS="80").stdout
    for name, line in COMMANDS.items():
        assert f"  {name:<10}  {line}\n" in out
    assert ctl().stdout == ctl("--help").stdout


def test_the_list_of_the_service_cuts_no_line(ctl: Ctl) -> None:
    out = ctl("service", "--help", COLUMNS="80").stdout.partition("Commands:\n")[2]
    assert "  install    Install the system service, which starts at boot.\n" in out
    assert "..." not in out


@pytest.mark.parametrize("page", pages(), ids=" ".join)
def test_every_command_has_a_help_page(ctl: Ctl, page: tuple[str, ...]) -> None:
    done = ctl(*page, "-h")  # --help is that of docs/cli.md
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(('node-ctl', *page))} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(ctl: Ctl, name: str) -> None:
    shown = ctl(name, "--help", COLUMNS="200").stdout.partition("Examples:\n")[2].splitlines()
    examples = [line.partition("node-ctl ")[2] for line in shown if "node-ctl " in line]
    assert examples, shown
    group = typer.main.get_command(app)
    for example in examples:
        words = shlex.split(re.split("[<>)]", example)[0], comments=True)
        assert words[0] == name
        with _load(name).make_context(name, words[1:], parent=typer.Context(group)) as context:
            assert context.command.name == name


@pytest.mark.parametrize("alias", ["list", "ls"])
def test_what_other_tools_call_it_works_too(ctl: Ctl, daemon: FakeDaemon, alias: str) -> None:
    daemon.on("GET /v1/models", [])
    assert ctl(alias).stdout == ctl("models").stdout
    assert ctl(alias, "-h").stdout.startswith("Usage: node-ctl models ")


def test_the_version_is_that_of_the_distribution(ctl: Ctl) -> None:
    assert ctl("--version").stdout == "node-ctl 0.1.0\n"
