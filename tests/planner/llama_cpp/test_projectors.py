"""A projector's memory counts on the device that holds it, as the engine reported it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.memory import projectors
from planner.llama_cpp.placement import HOST_ID
from tests.planner import build
from tests.planner.llama_cpp.test_engine_agrees import first_match, here
from tests.rigs.projector import projector, recorded
from tests.rigs.replica import write_replica

ROWS = recorded()["rows"]
BOUNDED = {"llava-1.6-7b"}
ALONE, BESIDE = build.assumed_gpus(0), build.assumed_gpus(1)
OLD, NEW = (InstalledEngine("llama.cpp", "llama-server", version) for version in ("0.10068.0", "b11434"))


def rows_of(model: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["model"] == model]


def compute(shape: ModelShape, machine: Hardware, args: str = "") -> dict[int, int]:
    return dict(projectors.projector_memory(shape, parse(args.split()), machine).compute)


def without_projection(shape: ModelShape) -> ModelShape:
    """The same encoder, without what its kind of graph ends with."""
    return replace(
        shape, tensors=tuple(tensor for tensor in shape.tensors if not tensor.name.startswith("mm."))
    )


@pytest.mark.parametrize("model", [name for name in recorded()["models"] if name not in BOUNDED])
def test_a_projector_takes_the_bytes_that_the_engine_said(model: str) -> None:
    shape = projector(model)
    for row in rows_of(model):
        args = f"-fa {row['flash_attention']}"
        assert compute(shape, ALONE, args) == {HOST_ID: row["host_alone"]}
        assert compute(shape, BESIDE, args) == {0: row["gpu"], HOST_ID: row["beside_gpu"]}
    assert not projectors.projector_memory(shape, parse([]), BESIDE).notes


def test_an_older_build_takes_the_same_within_a_percent() -> None:
    for row in (row for row in ROWS if "b10068_total_mib" in row and row["model"] not in BOUNDED):
        shape = projector(row["model"])
        ours = (shape.file_bytes + compute(shape, ALONE)[HOST_ID]) / MIB
        assert ours == pytest.approx(row["b10068_total_mib"], rel=0.01)


@pytest.mark.parametrize("model", recorded()["models"])
def test_a_file_that_is_not_laid_out_is_bounded_from_above(model: str) -> None:
    shape = projector(model) if model in BOUNDED else without_projection(projector(model))
    for row in rows_of(model):
        ours = compute(shape, BESIDE, f"-fa {row['flash_attention']}")
        print(f"{model} -fa {row['flash_attention']}: {ours[0] / row['gpu']:.2f} of what the engine takes")
        assert row["gpu"] <= ours[0] <= 2 * row["gpu"]
        assert row["beside_gpu"] <= ours[HOST_ID] <= 1.1 * row["beside_gpu"]
    assert projectors.NOTE in projectors.projector_memory(shape, parse([]), BESIDE).notes


def test_a_kind_that_nobody_knows_is_bounded_at_the_largest_image_there_is() -> None:
    qwen = projector("qwen3-vl-8b")
    kinds = ("pixtral", "hunyuanvl", "qwen3vl_merger", "unheard-of")
    renamed = [replace(qwen, metadata={**qwen.metadata, "clip.projector_type": kind}) for kind in kinds]
    sizes = [compute(without_projection(shape), ALONE)[HOST_ID] for shape in renamed]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]


def test_sound_beside_images_is_added_as_a_bound() -> None:
    plain = projector("gemma3-4b", blocks=2)
    with_audio = {**plain.metadata, "clip.audio.embedding_length": 1280, "clip.audio.num_mel_bins": 128}
    both = replace(plain, metadata=with_audio)
    assert compute(both, ALONE)[HOST_ID] > compute(plain, ALONE)[HOST_ID]
    assert projectors.NOTE in projectors.projector_memory(both, parse([]), ALONE).notes


# Bytes of compute on the host. Source: b11434 as in the capture, with ``image_max_tokens``.
LIMITED = [
    ("qwen3-vl-8b", 256, 47_202_304),
    ("lfm2-vl-1.6b", 64, 7_946_240),
    ("gemma-4-31b", 70, 39_485_952),
    ("gemma3-4b", 64, 127_139_840),
    ("qwen2.5-vl-7b", 1000, 281_665_312),
]


@pytest.mark.parametrize(("model", "tokens", "compute_bytes"), LIMITED)
def test_fewer_tokens_an_image_are_reserved_where_the_line_says_so(
    model: str, tokens: int, compute_bytes: int
) -> None:
    assert compute(projector(model), ALONE, f"--image-max-tokens {tokens}") == {HOST_ID: compute_bytes}


@pytest.mark.parametrize(
    ("options", "engine", "device"),
    [
        pytest.param("", NEW, "a", id="on the first GPU"),
        pytest.param("--no-mmproj-offload", NEW, None, id="kept off"),
        pytest.param("-dev CUDA1", NEW, "b", id="where the model is"),
        pytest.param("-dev none", NEW, None, id="off where the model is off"),
        pytest.param("-dev CUDA1", OLD, "a", id="an older build: on the first whatever the model uses"),
        pytest.param("-dev CUDA0 -mmdev CUDA1", NEW, "b", id="on the one that is named"),
        pytest.param("-mmdev none", NEW, None, id="on none that is named"),
    ],
)
def test_a_projector_stands_where_the_engine_puts_it(
    options: str, engine: InstalledEngine, device: str | None
) -> None:
    two = build.hardware(build.gpu(24, name="a"), build.gpu(24, name="b"))
    gpus = projectors.projector_gpu(parse(options.split()), replace(two, engines=(engine,)))
    assert [gpu.gpu.name for gpu in gpus] == ([] if device is None else [device])


def test_a_projector_is_added_to_what_its_model_takes() -> None:
    shape, model = projector("gemma3-4b", blocks=2), build.shape("qwen3-0.6b", "F16")
    machine, args = build.hardware(build.gpu(24)), parse(["-c", "4096", "-ngl", "999", "--mmproj", "m.gguf"])
    model_only, both = (estimate(model, args, machine, mmproj=mmproj).memory for mmproj in (None, shape))
    assert both[0].weights_bytes - model_only[0].weights_bytes == pytest.approx(shape.file_bytes, rel=0.001)
    assert both[0].compute_bytes - model_only[0].compute_bytes == compute(shape, machine)[0]
    assert both[-1].compute_bytes - model_only[-1].compute_bytes == compute(shape, machine)[HOST_ID]


@pytest.mark.engine
def test_the_engine_says_of_a_projector_what_was_predicted(smollm2: Path, tmp_path: Path) -> None:
    shape = projector("gemma3-4b", blocks=2, out=576)
    file = write_replica(tmp_path / "mmproj.gguf", shape)
    args = ["-c", "2048", "-np", "1"]
    pattern = re.compile(r"worst-case memory usage of mmproj is ([\d.]+) MiB")
    printed = first_match(
        smollm2, [*args, "--mmproj", str(file), "-fit", "on", "--warmup"], pattern, limit_kib=8_000_000
    )
    component = projectors.projector_memory(shape, parse(args), here())
    ours = (shape.file_bytes + component.compute[HOST_ID]) / MIB
    print(f"mmproj: {ours:.2f} said {printed[0]}")
    assert ours == pytest.approx(float(printed[0]), abs=0.01)
