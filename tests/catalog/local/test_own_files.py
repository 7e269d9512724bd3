"""Files and folders of the owner's own: the quant that they are shown with."""

from pathlib import Path

import pytest

from catalog.formats.gguf.quants import quant_of_shape
from tests.catalog.build import gguf_file
from tests.catalog.resolving import resolve


@pytest.mark.parametrize("path", ["here", "here/tiny.gguf"], ids=["folder", "file"])
def test_a_file_without_a_quant_in_its_name_has_that_of_its_header(tmp_path: Path, path: str) -> None:
    (tmp_path / "here").mkdir()
    gguf_file(tmp_path / "here" / "tiny.gguf")
    (found,) = resolve(str(tmp_path / path), catalogue={}, models_dir=tmp_path)
    assert found.weights.quant == quant_of_shape(found.shape, "any.gguf") != "tiny"


def test_two_files_of_one_quant_keep_their_names(tmp_path: Path) -> None:
    for name in ("first", "second"):
        gguf_file(tmp_path / f"{name}.gguf")
    assert {item.weights.quant for item in resolve(str(tmp_path), catalogue={}, models_dir=tmp_path)} == {
        "first",
        "second",
    }
