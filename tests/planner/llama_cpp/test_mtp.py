"""Multi-token prediction: what its head, its cache, its buffer and the states to roll back to take, as the
engine reported it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.formats.gguf.reader import read_file
from domain.launches.plan import DeviceMemory
from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import NO_HEAD_NOTE, MemoryLayout, estimate, memory_layout
from planner.llama_cpp.memory import draft_models
from planner.llama_cpp.placement import HOST_ID
from tests.planner import build
from tests.planner.llama_cpp.test_engine_agrees import first_match, here
from tests.rigs.mtp import sidecar, tiny_qwen35, with_head
from tests.rigs.replica import write_replica

CAPTURE = Path(__file__).parents[2] / "captures" / "llamacpp-mtp.json"
ROWS: list[dict[str, Any]] = json.loads(CAPTURE.read_text())["rows"]
BOUNDED = {"step-3.5-flash"}
PLAIN = tiny_qwen35()
HEADED = with_head(PLAIN)
BOX = Hardware(engines=(InstalledEngine("llama.cpp", "llama-server", "0.10434.0"),))
ARGS = "-c 32768 -ngl 0 -np 1 --spec-type draft-mtp --spec-draft-n-max 3"


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['form']} {row['gpus']} GPUs {' '.join(row['args'])}"


def laid_out(row: dict[str, Any]) -> MemoryLayout:
    base = build.published(row["model"])
    args, draft, shape = [*row["args"], "--spec-type", "draft-mtp"], None, with_head(base)
    if row["form"] == "sidecar":
        args, draft, shape = [*args, "-md", "head.gguf"], sidecar(shape), base
    machine = replace(build.assumed_gpus(row["gpus"]), engines=BOX.engines)
    return memory_layout(shape, parse(args), machine, draft=draft, tool=EngineTool.DRY_RUN)


def parts(layout: MemoryLayout, row: dict[str, Any]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Of the head and of the model, as the engine prints them: MiB of model, context and compute."""
    assert layout.draft is not None
    head = draft_models.draft_memory(layout.draft, layout.draft.flags)
    by_device = {"Host" if number == HOST_ID else f"GPU{number}": number for number in head.compute}
    of_head = {
        device: [part.get(number, 0) for part in (head.weights, head.kv_cache, head.compute)]
        for device, number in by_device.items()
    }
    together = {"Host" if part.device == "host" else part.device: part for part in layout.memory}
    of_model = {
        device: [whole - own for whole, own in zip(_figures(together[device]), sizes, strict=True)]
        for device, sizes in of_head.items()
    }
    return _in_mib(of_head), _in_mib(of_model)


def _figures(row: DeviceMemory) -> tuple[int, int, int]:
    return row.weights_bytes, row.kv_cache_bytes, row.compute_bytes


def _in_mib(sizes: dict[str, list[int]]) -> dict[str, list[int]]:
    return {device: [size // MIB for size in row] for device, row in sizes.items()}


@pytest.mark.parametrize("row", [row for row in ROWS if row["model"] not in BOUNDED], ids=name_of)
def test_a_head_and_its_model_take_what_the_engine_said(row: dict[str, Any]) -> None:
    layout = laid_out(row)
    of_head, of_model = parts(layout, row)
    said = row["draft"]
    if row["form"] == "head":  # the engine prints the model's weights again
        said = {device: [0, *sizes[1:]] for device, sizes in said.items()}
    assert of_head == said
    assert of_model == row["main"]
    assert draft_models.MTP_NOTE not in layout.notes


@pytest.mark.parametrize("row", [row for row in ROWS if row["model"] in BOUNDED], ids=name_of)
def test_a_head_of_another_architecture_is_bounded_from_above(row: dict[str, Any]) -> None:
    layout = laid_out(row)
    of_head, of_model = parts(layout, row)
    assert of_head["Host"][1] == row["draft"]["Host"][1]
    assert of_head["Host"][2] > row["draft"]["Host"][2]
    assert of_model == row["main"]
    assert draft_models.MTP_NOTE in layout.notes


# MiB of cache: two blocks attend with 64 each; six keep 3.14 in all, four times if three tokens may be
# rolled back; the head's own 64. And of compute, the model's and the head's. Source: llama-server 0.10434.0.
MODEL_KV, HEAD_KV, STATES, COMPUTE, HEAD_COMPUTE = 128.0, 64.0, 12.5625, 54.02, 52.02


@pytest.mark.parametrize("form", ["head", "sidecar"])
def test_cache_and_compute_of_both_forms_are_the_sum_of_their_parts(form: str) -> None:
    shape, draft, args = (HEADED, None, ARGS) if form == "head" else (PLAIN, sidecar(HEADED), f"{ARGS} -md h")
    row = estimate(shape, parse(args.split()), BOX, draft=draft).memory[-1]
    assert row.kv_cache_bytes / MIB == pytest.approx(MODEL_KV + HEAD_KV + STATES)
    assert row.compute_bytes / MIB == pytest.approx(COMPUTE + HEAD_COMPUTE, abs=0.01)


def test_a_head_that_does_not_draft_takes_nothing() -> None:
    args = parse(["-c", "32768", "-ngl", "0", "-np", "1"])
    assert estimate(HEADED, args, BOX).memory == estimate(PLAIN, args, BOX).memory


def test_a_sidecar_drafts_without_being_told_to() -> None:
    """As the engine does: its kind is in its header."""
    untold = "-c 32768 -ngl 0 -np 1 --spec-draft-n-max 3 -md h"
    by_header, told = (
        estimate(PLAIN, parse(args.split()), BOX, draft=sidecar(HEADED))
        for args in (untold, f"{untold} --spec-type draft-mtp")
    )
    assert by_header == told


def test_more_drafted_tokens_keep_more_states() -> None:
    per_copy = 3.140625 * MIB
    caches = [
        estimate(HEADED, parse(f"{ARGS} --spec-draft-n-max {count}".split()), BOX).memory[-1]
        for count in (1, 5)
    ]
    assert caches[1].kv_cache_bytes - caches[0].kv_cache_bytes == 4 * per_copy


def test_a_file_without_a_head_is_said_to_be_refused() -> None:
    assert NO_HEAD_NOTE in estimate(PLAIN, parse(ARGS.split()), BOX).notes
    assert NO_HEAD_NOTE not in estimate(HEADED, parse(ARGS.split()), BOX).notes


@pytest.mark.engine
def test_the_engine_takes_for_a_head_what_is_predicted(tmp_path: Path) -> None:
    """The second cache that it prints, and the second compute buffer."""
    replica = write_replica(tmp_path / "model.gguf", HEADED)
    args = [*ARGS.split(), "--no-repack", "-fit", "off"]
    pattern = re.compile(r"sched_reserve: +CPU compute buffer size = +(52\.\d+) MiB")
    printed = first_match(replica, args, pattern, limit_kib=8_000_000)
    ours = predicted_head(read_file(replica), args)
    assert ours == pytest.approx(float(printed[0]), abs=0.01)


def predicted_head(shape: ModelShape, args: list[str]) -> float:
    layout = memory_layout(shape, parse(args), here())
    assert layout.draft is not None
    return draft_models.draft_memory(layout.draft, layout.draft.flags).compute[HOST_ID] / MIB
