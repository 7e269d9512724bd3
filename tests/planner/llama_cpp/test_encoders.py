"""Encoders of texts and other pooled models take what the engine said, to the MiB."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.graph.text_encoder import ARCHITECTURES
from tests.planner import build
from tests.planner.llama_cpp.test_engine_agrees import ADDRESS_SPACE_KIB, HOST_LINE, first_match
from tests.rigs.encoders import ENCODERS, encoder
from tests.rigs.replica import write_replica

CAPTURE = Path(__file__).parents[2] / "captures" / "llamacpp-encoders.json"
ROWS: list[dict[str, Any]] = json.loads(CAPTURE.read_text())["rows"]
MAX_ERROR_OF_SPLIT_MIB = 2  # of the host, where a GPU holds some of the blocks
BOX = Hardware(engines=(InstalledEngine("llama.cpp", "llama-server", "0.10434.0"),))


def shape_of(name: str) -> ModelShape:
    if name in ENCODERS:
        return encoder(name)
    decoder = build.shape("qwen3-0.6b", "Q8_0")
    return replace(decoder, metadata={**decoder.metadata, "qwen3.pooling_type": 3})


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['gpus']} GPUs {' '.join(row['args'])}"


def errors(row: dict[str, Any]) -> dict[str, list[int]]:
    """Ours less the engine's, in MiB as it prints them."""
    machine = replace(build.assumed_gpus(row["gpus"]), engines=BOX.engines)
    flags = parse([*row["args"], "--no-repack"])
    found = estimate(shape_of(row["model"]), flags, machine, tool=EngineTool.DRY_RUN)
    assert not any("upper bound" in note for note in found.notes)
    ours = {
        "Host" if one.device == "host" else one.device: (
            one.weights_bytes,
            one.kv_cache_bytes,
            one.compute_bytes,
        )
        for one in found.memory
    }
    return {
        device: [size // MIB - figure for size, figure in zip(ours[device], said, strict=True)]
        for device, said in row["said"].items()
    }


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_pooled_model_takes_what_the_engine_said(row: dict[str, Any]) -> None:
    found = errors(row)
    print(f"{name_of(row)}: error in MiB {found}")
    largest = max(abs(figure) for figures in found.values() for figure in figures)
    assert largest <= (MAX_ERROR_OF_SPLIT_MIB if "4" in row["args"] and row["gpus"] else 0)


def test_every_encoder_that_there_are_rules_for_was_compared() -> None:
    assert {ENCODERS[row["model"]].architecture for row in ROWS if row["model"] in ENCODERS} == ARCHITECTURES


@pytest.mark.engine
def test_the_engine_still_says_so(tmp_path: Path) -> None:
    path = write_replica(tmp_path / "replica.gguf", encoder("bge-small"))
    row = next(row for row in ROWS if row["model"] == "bge-small" and not row["gpus"])
    args = [*row["args"], "--no-repack", "-fit", "on"]
    printed = first_match(path, args, HOST_LINE, limit_kib=min(ADDRESS_SPACE_KIB, 700_000))
    assert list(map(int, printed)) == row["said"]["Host"]
