"""The service's environment replaces what node-ctl made before, and no other folder."""

import sys
from pathlib import Path

import pytest

from ctl.service import environment
from ctl.service.steps import Target
from domain.errors import NodeError


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A tree for the environment, with one file to copy."""
    monkeypatch.setattr(environment, "files", lambda: iter([(Path(__file__), "tests/here.py")]))
    monkeypatch.setattr(environment, "ROOMS", ())
    return Target(tmp_path, Path("/opt/node-daemon"))


def beside(target: Target, name: str) -> Path:
    """A folder next to the environment, with a file that somebody needs."""
    folder = target.at(target.prefix).with_name(name)
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    return folder


def test_neighbours_of_the_environment_are_left_alone(target: Target) -> None:
    neighbours = [beside(target, name) for name in ("node-daemon.new", "node-daemon.old")]
    for _ in range(2):
        environment.copy(target)
    assert environment.is_current(target)
    assert all((folder / "thesis.txt").is_file() for folder in neighbours)
    left = {path.name for path in target.at("/opt").iterdir()}
    assert left == {"node-daemon", "node-daemon.new", "node-daemon.old"}


@pytest.mark.parametrize("name", ["node-daemon", ".node-ctl-node-daemon.new", ".node-ctl-node-daemon.old"])
def test_a_folder_without_our_stamp_is_never_removed(target: Target, name: str) -> None:
    folder = beside(target, name)
    with pytest.raises(NodeError, match="was not made by node-ctl"):
        environment.copy(target)
    assert (folder / "thesis.txt").is_file()


def test_what_an_interrupted_copy_left_is_replaced(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(environment, "interpreter", lambda: (_ for _ in ()).throw(NodeError("no Python")))
        with pytest.raises(NodeError, match="no Python"):
            environment.copy(target)
    assert not environment.is_ours(target)
    environment.copy(target)
    assert environment.is_current(target)
    assert [path.name for path in target.at("/opt").iterdir()] == ["node-daemon"]


def test_whatever_was_copied_is_compiled_for_a_service_that_may_not_write_there(target: Target) -> None:
    environment.copy(target)
    copied = target.at(target.prefix) / "lib" / environment.VERSION / "site-packages/tests"
    assert [path.name for path in (copied / "__pycache__").iterdir()] == [
        f"here.{sys.implementation.cache_tag}.pyc"
    ]


def test_what_a_distribution_requires_here_is_copied_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires = {
        "app": ["under_score[fast]>=1", "elsewhere; sys_platform == 'nowhere'", "tool; extra == 'dev'"],
        "under-score": ["wheel-of-fast; extra == 'fast'", "slow; extra == 'slow'", "app"],
        **{name: [] for name in ("wheel-of-fast", "slow", "elsewhere", "tool", "unrelated")},
    }
    for name, requirements in requires.items():
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {line}" for line in requirements)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(environment.distributions("app")) == {"app", "under-score", "wheel-of-fast"}
    assert set(environment.distributions("app", ["dev"])) == {"app", "under-score", "wheel-of-fast", "tool"}
    assert environment.distributions("absent") == {}


def test_tools_for_tests_are_not_copied() -> None:
    names = set(environment.distributions("node-daemon", environment.EXTRAS))
    assert {"node-daemon", "httpx", "h11", "packaging"} <= names
    assert not names & {"pytest", "ruff", "psutil"}
