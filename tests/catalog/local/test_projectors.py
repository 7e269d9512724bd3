"""The projector of a model that is on this disk: found beside it, and not taken from another model."""

import os
from pathlib import Path

import pytest

from catalog.local import layout
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from tests.catalog.build import headed
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

BLOCK = {"blk.0.attn_q.weight": (64, 64), "token_embd.weight": (256, 64)}


def model(path: Path, width: int = 64, **keys: int) -> Path:
    return headed(path, "qwen3vl", BLOCK, block_count=1, embedding_length=width, **keys)


def projector(path: Path, width: int = 64, deeper: int = 0) -> Path:
    tensors = {"mm.2.weight": (width, 32)}
    tensors |= {f"v.deepstack.{block}.fc2.weight": (width, 32) for block in range(deeper)}
    return headed(path, "clip", tensors, general__type="mmproj")


def found(path: Path | str, models_dir: Path, **options: object) -> ResolvedModel:
    [one] = resolve(str(path), catalogue={}, models_dir=models_dir, **options)  # type: ignore[arg-type]
    return one


def used(one: ResolvedModel) -> list[str]:
    """The projectors whose headers are known: a plan takes the first."""
    return [item.file.name for item in one.weights.beside if item.file.name in one.companion_shapes]


@pytest.mark.parametrize("name", ["mmproj-F16.gguf", "M-mmproj-f16.gguf", "eyes.gguf"])
def test_the_projector_beside_a_single_file_is_found(tmp_path: Path, name: str) -> None:
    path = model(tmp_path / "M-Q4_K_M.gguf")
    projector(tmp_path / name)
    one = found(path, tmp_path / "models")
    assert used(one) == [name]
    assert [item.role for item in one.weights.beside] == [Kind.PROJECTOR]


def test_of_several_the_one_of_the_preferred_type_is_used(tmp_path: Path) -> None:
    path = model(tmp_path / "M-Q4_K_M.gguf")
    for quant in ("F32", "BF16", "F16"):
        projector(tmp_path / f"mmproj-{quant}.gguf")
    assert used(found(path, tmp_path / "models")) == ["mmproj-F16.gguf"]


def test_a_projector_of_another_model_is_not_taken_and_told(tmp_path: Path) -> None:
    path = model(tmp_path / "M-Q4_K_M.gguf")
    projector(tmp_path / "mmproj-F16.gguf", width=96)
    one = found(path, tmp_path / "models")
    assert (used(one), one.weights.beside) == ([], ())
    [row] = one.weights.passed_over
    assert row.name == "mmproj-F16.gguf"
    assert row.why == "it is of another model: it gives vectors of 96 values, and this model takes 64"
    assert any(note.startswith("no images: mmproj-F16.gguf is not used") for note in one.notes)


def test_vectors_for_deeper_blocks_count(tmp_path: Path) -> None:
    projector(tmp_path / "mmproj-F16.gguf", deeper=1)
    deep = model(tmp_path / "M-Q4_K_M.gguf", n_deepstack_layers=1)
    assert used(found(deep, tmp_path / "models")) == ["mmproj-F16.gguf"]
    plain = model(tmp_path / "M-Q4_K_M.gguf")
    assert used(found(plain, tmp_path / "models")) == []


def test_in_a_folder_of_many_models_the_name_tells_whose_it_is(tmp_path: Path) -> None:
    text, seeing = model(tmp_path / "Qwen3-4B-Q4_K_M.gguf"), model(tmp_path / "Qwen3-VL-4B-Q4_K_M.gguf")
    projector(tmp_path / "mmproj-Qwen3-VL-4B-F16.gguf")
    assert used(found(seeing, tmp_path / "models")) == ["mmproj-Qwen3-VL-4B-F16.gguf"]
    assert used(found(text, tmp_path / "models")) == []


def test_one_that_is_no_gguf_file_is_no_reason_to_refuse_the_model(tmp_path: Path) -> None:
    path = model(tmp_path / "M-Q4_K_M.gguf")
    (tmp_path / "mmproj-F16.gguf").write_bytes(b"<html>not found</html>")
    (tmp_path / "mmproj-BF16.gguf").mkdir()
    (tmp_path / "mmproj-F32.gguf").symlink_to(tmp_path / "gone")
    (tmp_path / "mmproj-loop.gguf").symlink_to("mmproj-loop.gguf")
    os.mkfifo(tmp_path / "mmproj-pipe.gguf")
    assert used(found(path, tmp_path / "models")) == []
    projector(tmp_path / "mmproj-Q8_0.gguf")
    assert used(found(path, tmp_path / "models")) == ["mmproj-Q8_0.gguf"], "nor to pass over another"


def snapshot(root: Path, revision: str) -> Path:
    return layout.repo_folder(root, "o/r") / "snapshots" / revision


def test_the_projector_in_another_copy_of_the_repository_is_found(tmp_path: Path) -> None:
    store, other_tool = tmp_path / "models", tmp_path / "other"
    model(snapshot(store, "a" * 40) / "M-Q4_K_M.gguf")
    there = projector(snapshot(other_tool, "b" * 40) / "mmproj-F16.gguf")
    one = found("o/r", store, offline=True, places=[other_tool])
    assert used(one) == [str(there)]


def test_none_is_taken_over_a_link_that_leads_out_of_the_stores(tmp_path: Path) -> None:
    store = tmp_path / "models"
    model(snapshot(store, "a" * 40) / "M-Q4_K_M.gguf")
    outside = projector(tmp_path / "outside" / "mmproj-F16.gguf")
    link = snapshot(tmp_path / "other", "b" * 40) / "mmproj-F16.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    assert used(found("o/r", store, offline=True, places=[tmp_path / "other"])) == []


def test_a_file_that_is_named_in_a_repository_has_its_projector(hub: Hub, tmp_path: Path) -> None:
    path = model(tmp_path / "M-Q4_K_M.gguf")
    hub.add(
        "o/r",
        {
            "M-Q4_K_M.gguf": path.read_bytes(),
            "M-Q8_0.gguf": path.read_bytes(),
            "mmproj-F16.gguf": projector(tmp_path / "p.gguf").read_bytes(),
            "other-mmproj-F16.gguf": projector(tmp_path / "p.gguf", width=96).read_bytes(),
        },
    )
    one = found(f"{hub.url}/o/r/blob/main/M-Q4_K_M.gguf", tmp_path / "models")
    assert used(one) == ["mmproj-F16.gguf"]
