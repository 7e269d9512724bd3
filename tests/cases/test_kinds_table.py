"""The table of kinds in docs/models.md: each row by a file of that kind, alone and beside a model."""

import re
from collections.abc import Callable

import pytest

from domain.errors import BadModelError
from domain.models.kinds import Kind
from tests.catalog.build import Raw
from tests.conftest import ROOT
from tests.rigs.publisher import Publisher

TABLE = (ROOT / "docs" / "models.md").read_text().partition("## Kinds of files\n")[2].partition("\n## ")[0]
MODEL = "M-Q4_K_M.gguf"


def rows() -> dict[Kind, tuple[str, str]]:
    """What the page says of each kind: of it alone, and where it is shown."""
    found = {}
    for line in re.findall(r"^\| `.*", TABLE, re.MULTILINE):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        for name in re.findall(r"`([\w-]+)`", cells[0]):
            found[Kind(name)] = (cells[2], cells[3].rstrip("| "))
    return found


def imatrix(publisher: Publisher) -> None:
    raw = Raw(tensors=1, keys=1).key(b"general.type", 8, (7).to_bytes(8, "little") + b"imatrix")
    publisher.files["x.gguf"] = raw.tensor(b"blk.0.ffn_up.weight.in_sum2", (8,), 0, 0).body(32).data


PUT: dict[Kind, Callable[[Publisher], None]] = {
    Kind.MODEL: lambda to: to.add("x-Q8_0.gguf"),
    Kind.EMBEDDING: lambda to: to.add("x-Q8_0.gguf", pooling_type=1),
    Kind.RERANKER: lambda to: to.add("x-Q8_0.gguf", pooling_type=4),
    Kind.DRAFT: lambda to: to.add("x-Q8_0.gguf", "dflash", layers=1),
    Kind.PROJECTOR: lambda to: to.projector("x.gguf"),
    Kind.ADAPTER: lambda to: to.adapter("x.gguf"),
    Kind.CONTROL_VECTOR: lambda to: to.write("x.gguf", "controlvector", {"direction.1": (1, 64)}),
    Kind.IMATRIX: imatrix,
    Kind.ENCODER: lambda to: to.add("x.gguf", "t5encoder"),
    Kind.SPEECH: lambda to: to.add("x.gguf", "wavtokenizer-dec"),
    Kind.IMAGE: lambda to: to.add("x.gguf", "flux"),
    Kind.OTHER: lambda to: to.write("x.gguf", "mystery", {"a.weight": (64, 64)}),
}


def test_every_kind_has_its_row() -> None:
    assert set(rows()) == set(Kind) == set(PUT)


@pytest.mark.parametrize("kind", Kind)
def test_a_file_of_a_kind_is_planned_or_refused_as_the_page_says(publisher: Publisher, kind: Kind) -> None:
    alone, shown = rows()[kind]
    PUT[kind](publisher)
    if "served" in alone:
        assert [model.weights.kind for model in publisher.found()] == [kind]
        assert shown == "the model"
        return
    with pytest.raises(BadModelError) as refused:
        publisher.found()
    assert kind.description in str(refused.value)
    assert refused.value.hint
    publisher.add(MODEL)
    [model] = publisher.found()
    assert model.weights.files[0].name == MODEL
    assert [item.role for item in model.weights.beside] == [kind]
    assert shown.startswith("beside the model")
