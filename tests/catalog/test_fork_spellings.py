"""Architectures that a fork spells in its own way: what an owner is told."""

from types import SimpleNamespace
from typing import Any, cast

from catalog.fork_spellings import FORK_SPELLINGS
from config.data import catalogue
from daemon.planning import builds
from domain.errors import EngineRefusedError, Refused
from launchers.base import Capabilities


def test_a_forks_spelling_is_told_with_the_repository_that_works() -> None:
    line = "llama_model_load: error loading model: unknown model architecture: 'glm5next'"
    error = EngineRefusedError("not known", refused=Refused.MODEL, engine_output=line)
    app = cast("Any", SimpleNamespace(catalogue=catalogue()))
    hinted = builds.with_hint(app, error, cast("Capabilities", None), "unsloth/GLM-5.3-Flash-GGUF", ())
    assert "glm5next is a fork's spelling of glm5-next" in hinted.hint
    assert "ggml-org/GLM-5.3-Flash-GGUF" in hinted.hint


def test_the_repositories_that_work_are_those_of_the_catalogue() -> None:
    models = catalogue()
    for known in FORK_SPELLINGS.values():
        assert any(
            known.repo in model.gguf_repos and model.architecture == known.architecture
            for model in models.values()
        )
