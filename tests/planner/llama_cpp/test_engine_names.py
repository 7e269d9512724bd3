"""Names of architectures in our tables are those that llama.cpp compares a header's with."""

from collections.abc import Collection
from pathlib import Path

import pytest

from catalog.synthetic.tensor_layouts import FAMILIES
from config import data
from launchers.base import SearchPaths
from launchers.llama_cpp import find
from planner.llama_cpp.context_params import WITHOUT_FLASH_ATTENTION
from planner.llama_cpp.graph.recipe import RECIPES
from planner.model import hparams, sliding_window
from tests.conftest import ROOT

NEWEST = frozenset((ROOT / "tests/captures/llama.cpp/architectures-b11434.txt").read_text().split())
TABLES: dict[str, Collection[str]] = {
    "recipes of graphs": RECIPES,
    "tensor layouts": FAMILIES,
    "the catalogue": {model.architecture for model in data.catalogue().values()},
    "recurrent": hparams.RECURRENT,
    "hybrids": hparams.HYBRID_BY_HEADS | hparams.HYBRID_BY_INTERVAL,
    "shared caches": hparams.FIRST_SHARED_KV_LAYER,
    "windows": {*sliding_window.SWA_PERIODS, *sliding_window.DEFAULT_SWA_WINDOWS},
    "windows by the file": sliding_window.SWA_PATTERN_IN_FILE | sliding_window.SWA_WITHOUT_PERIOD,
    "without flash attention": WITHOUT_FLASH_ATTENTION,
}
# Of the tables: what b11434 has and the embedded build, b10434, has not.
NEWER_THAN_EMBEDDED = {
    *("bailingmoe3", "glm5-next", "granite_swa", "hy_v4", "kimi-k3", "maple", "minimax-01", "qwen4exp"),
    "spark2_5",
}


@pytest.mark.parametrize("table", TABLES)
def test_no_table_has_a_name_that_the_newest_engine_lacks(table: str) -> None:
    assert set(TABLES[table]) - NEWEST == set()


def test_what_the_embedded_build_lacks_is_listed() -> None:
    """It finds the name of a header in its own list, which its library holds as texts."""
    (embedded, *_) = find(SearchPaths(embedded=True))
    library = Path(embedded.path).with_name("libllama.so").read_bytes()
    named = {name for names in TABLES.values() for name in names}
    # a text may be the end of a longer one, "glm4" that of "chatglm4"
    assert {name for name in named if name.encode() + b"\0" not in library} == NEWER_THAN_EMBEDDED
