"""Bytes per device against what llama.cpp itself reported for 76 command lines of eight models.

Recorded from build 11434 with replica files; see the note in the capture.
"""

from typing import Any

import pytest

from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp import compute_buffers, context_params, kv_cache, placement
from planner.llama_cpp.context_params import Reader
from planner.llama_cpp.estimate import estimate
from planner.machine import devices
from planner.model import hparams
from tests.planner import build

ROWS = build.truth()["rows"]


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['gpus']} GPUs {' '.join(row['args'])}"


def predicted(row: dict[str, Any]) -> dict[str, dict[str, int]]:
    shape = build.shape(row["model"], row["quant"])
    found = estimate(shape, parse(row["args"]), build.assumed_gpus(row["gpus"]), reader=Reader.FIT_PARAMS)
    return {
        "Host" if part.device == "host" else part.device: {
            "model": part.weights_bytes // MIB,
            "context": part.kv_cache_bytes // MIB,
            "compute": part.compute_bytes // MIB,
        }
        for part in found.memory
    }


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_device_takes_what_the_engine_said(row: dict[str, Any]) -> None:
    found = predicted(row)
    for device, parts in row["memory_mib"].items():
        error = sum(found[device].values()) / sum(parts.values()) - 1
        print(f"{name_of(row)} {device}: {found[device]} said {parts} ({error:+.2%})")
    assert found == row["memory_mib"]


@pytest.mark.parametrize("row", ROWS[::3], ids=name_of)
def test_a_shortened_graph_needs_what_the_whole_one_does(row: dict[str, Any]) -> None:
    shape = build.shape(row["model"], row["quant"])
    model, flags = hparams.read(shape), parse(row["args"])
    used = devices.devices(build.assumed_gpus(row["gpus"]), flags)
    where = placement.place(shape, model, flags, used)
    for reader in Reader:
        run = context_params.resolve(flags, model, reader=reader)
        short = compute_buffers.per_device(shape, model, run, where)
        assert short == compute_buffers.per_device(shape, model, run, where, whole=True)


def test_a_server_keeps_logits_of_its_slots_only() -> None:
    shape = build.shape("llama-3.1-8b", "Q4_K_M")
    flags = parse(["-c", "4096", "-np", "1"])
    tool, server = (
        estimate(shape, flags, build.assumed_gpus(0), reader=reader).memory[-1].compute_bytes
        for reader in (Reader.FIT_PARAMS, Reader.SERVER)
    )
    assert tool - server > 100 * MIB


def test_cells_without_an_own_cache_take_nothing() -> None:
    shape = build.shape("qwen3-next-80b", "Q8_0")
    model = hparams.read(shape)
    run = context_params.resolve(parse(["-c", "8192", "-np", "1"]), model)
    recurrent = [layer for layer in model.layers if layer.is_recurrent]
    assert len(recurrent) == 36
    assert all(kv_cache.token_bytes(layer, model, run) == 0 for layer in recurrent)
