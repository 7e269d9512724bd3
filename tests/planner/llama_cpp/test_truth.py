"""Bytes per device against what llama.cpp itself reported for 76 command lines of eight models.

Recorded from build 11434 with replica files; see the note in the capture.
"""

from typing import Any

import pytest

from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp import context_params
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.memory import compute_buffers, kv_cache
from planner.llama_cpp.placement import place_tensors
from planner.machine.devices import visible_devices
from planner.model.hparams import read_hparams
from tests.planner import build

ROWS = build.truth()["rows"]


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['gpus']} GPUs {' '.join(row['args'])}"


def predicted(row: dict[str, Any]) -> dict[str, dict[str, int]]:
    shape = build.shape(row["model"], row["quant"])
    ours = estimate(shape, parse(row["args"]), build.assumed_gpus(row["gpus"]), tool=EngineTool.FIT_PARAMS)
    return {
        "Host" if part.device == "host" else part.device: {
            "model": part.weights_bytes // MIB,
            "context": part.kv_cache_bytes // MIB,
            "compute": part.compute_bytes // MIB,
        }
        for part in ours.memory
    }


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_device_takes_what_the_engine_said(row: dict[str, Any]) -> None:
    ours = predicted(row)
    for device, parts in row["memory_mib"].items():
        error = sum(ours[device].values()) / sum(parts.values()) - 1
        print(f"{name_of(row)} {device}: {ours[device]} said {parts} ({error:+.2%})")
    assert ours == row["memory_mib"]


@pytest.mark.parametrize("row", ROWS[::3], ids=name_of)
def test_a_shortened_graph_needs_what_the_whole_one_does(row: dict[str, Any]) -> None:
    shape = build.shape(row["model"], row["quant"])
    hparams, flags = read_hparams(shape), parse(row["args"])
    devices = visible_devices(build.assumed_gpus(row["gpus"]), flags)
    placement = place_tensors(shape, hparams, flags, devices)
    for tool in EngineTool:
        cparams = context_params.resolve(flags, hparams, tool=tool)
        representative = compute_buffers.bytes_per_device(shape, hparams, cparams, placement)
        assert representative == compute_buffers.bytes_per_device(
            shape, hparams, cparams, placement, all_blocks=True
        )


def test_a_server_keeps_logits_of_its_slots_only() -> None:
    shape = build.shape("llama-3.1-8b", "Q4_K_M")
    flags = parse(["-c", "4096", "-np", "1"])
    fit_params, server = (
        estimate(shape, flags, build.assumed_gpus(0), tool=tool).memory[-1].compute_bytes
        for tool in (EngineTool.FIT_PARAMS, EngineTool.SERVER)
    )
    assert fit_params - server > 100 * MIB


def test_cells_without_an_own_cache_take_nothing() -> None:
    shape = build.shape("qwen3-next-80b", "Q8_0")
    hparams = read_hparams(shape)
    cparams = context_params.resolve(parse(["-c", "8192", "-np", "1"]), hparams)
    recurrent = [layer for layer in hparams.layers if layer.is_recurrent]
    assert len(recurrent) == 36
    assert all(kv_cache.cell_bytes(layer, hparams, cparams) == 0 for layer in recurrent)
