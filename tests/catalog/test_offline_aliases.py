"""Aliases without the hub: planned by the catalogue's facts, or the error says who has what is missing."""

from pathlib import Path

import pytest

from config.data import catalogue
from domain.errors import DownloadError
from domain.models.kinds import Kind
from tests.catalog.resolving import resolve


@pytest.mark.parametrize(
    ("alias", "kind"), [("bge-m3", Kind.EMBEDDING), ("bge-reranker-v2-m3", Kind.RERANKER)]
)
def test_an_encoder_is_planned_offline_as_what_it_is(tmp_path: Path, alias: str, kind: Kind) -> None:
    [model] = resolve(alias, catalogue=catalogue(), models_dir=tmp_path, offline=True)
    assert (model.weights.kind, model.exact) == (kind, False)


@pytest.mark.parametrize(
    "alias", ["deepseek-v4-flash", "glm-5", "kimi-k3", "nomic-embed-text", "seed-oss-36b", "smollm3-3b"]
)
def test_an_alias_that_can_not_be_rebuilt_says_offline_that_the_hub_has_it(
    tmp_path: Path, alias: str
) -> None:
    models = catalogue()
    assert alias in models
    with pytest.raises(
        DownloadError, match=f"{alias} is not complete on this disk, and offline is set"
    ) as no:
        resolve(alias, catalogue=models, models_dir=tmp_path, offline=True)
    assert "set offline to false" in no.value.hint
    assert f"{alias} is planned from a header of the hub" in no.value.hint
