"""Memory of models of every recorded architecture, compared with what llama.cpp reported.

Recorded with the same command lines on build 11434, on replicas; see the note in the capture.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from tests.planner import build

ROWS = build.architectures()["rows"]
MODELS = list(build.architectures()["models"])
WORST = 0.03
Parts = dict[str, int]


def predicted(
    shape: ModelShape, row: dict[str, Any], tool: EngineTool = EngineTool.FIT_PARAMS
) -> dict[str, Parts]:
    estimated = estimate(shape, parse(row["args"]), build.assumed_gpus(row["gpus"]), tool=tool)
    return {
        "Host" if device.device == "host" else device.device: {
            "model": device.weights_bytes,
            "context": device.kv_cache_bytes,
            "compute": device.compute_bytes,
        }
        for device in estimated.memory
    }


def rows_of(model: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["model"] == model]


@cache
def errors(model: str) -> list[float]:
    """Of each device's total, for each line of this model; printed where it is not exact to the MiB."""
    relative_errors = []
    for row in rows_of(model):
        ours = predicted(build.published(model), row)
        for device, parts in row["memory_mib"].items():
            parts_mib = {name: size // MIB for name, size in ours[device].items()}
            total = sum(parts.values())
            relative_errors.append(
                sum(parts_mib.values()) / total - 1 if total else float(sum(parts_mib.values()))
            )
            if parts_mib != parts:
                command = f"{model} {row['gpus']} GPUs {' '.join(row['args'])}"
                print(f"{command} {device}: {parts_mib} said {parts} ({relative_errors[-1]:+.2%})")
    return relative_errors


@pytest.mark.parametrize("model", [name for name in MODELS if build.is_known(name)])
def test_each_device_takes_what_the_engine_said(model: str) -> None:
    assert all(abs(error) <= WORST for error in errors(model))


def test_nine_devices_of_ten_are_within_a_percent() -> None:
    all_errors = sorted(abs(error) for name in MODELS if build.is_known(name) for error in errors(name))
    ninth_decile = all_errors[int(0.9 * len(all_errors))]
    print(f"{len(all_errors)} devices, p90 {ninth_decile:.2%}, worst {all_errors[-1]:.2%}")
    assert ninth_decile <= 0.01


def unheard_of(shape: ModelShape) -> ModelShape:
    """The same file under a name that no rule knows."""
    prefix = f"{shape.architecture}."
    metadata = {
        f"unheard-of.{key.removeprefix(prefix)}" if key.startswith(prefix) else key: value
        for key, value in shape.metadata.items()
    }
    return replace(shape, architecture="unheard-of", metadata=metadata)


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_architecture_is_never_promised_less_than_it_takes(model: str) -> None:
    shape = unheard_of(build.published(model))
    for row in rows_of(model):
        ours = predicted(shape, row)
        for device, parts in row["memory_mib"].items():
            print(f"{' '.join(row['args'])} {device}: {ours[device]} said {parts}")
            assert all(ours[device][name] >= size * MIB for name, size in parts.items())


def test_an_unknown_architecture_says_that_its_figures_are_bounds() -> None:
    shape = unheard_of(build.published("qwen3-8b"))
    notes = estimate(shape, parse(["-c", "4096"]), build.assumed_gpus(1)).notes
    assert any("no rules for unheard-of" in note and "upper bounds" in note for note in notes)


def test_a_file_that_lacks_a_tensor_of_its_graph_is_bounded_too() -> None:
    whole = build.published("qwen3-8b")
    tensors = tuple(tensor for tensor in whole.tensors if not tensor.name.endswith("attn_k.weight"))
    flags = parse(["-c", "4096"])
    exact, bounded = (
        estimate(shape, flags, build.assumed_gpus(0)) for shape in (whole, replace(whole, tensors=tensors))
    )
    assert any("is an upper bound" in note for note in bounded.notes)
    assert bounded.memory[-1].compute_bytes > exact.memory[-1].compute_bytes


# MiB of cache that llama-server says with -c 8192 -np 1: b10068 and b10434, b11434.
GUESSING = [("glm-4.5-air", 1504, 1472), ("glm-4.6", 2976, 2944)]


@pytest.mark.parametrize(("model", "older_mib", "newer_mib"), GUESSING)
def test_an_older_build_keeps_cells_for_layers_that_guess(model: str, older_mib: int, newer_mib: int) -> None:
    flags = parse(["-c", "8192", "-np", "1"])
    for version, mib in (("0.10068.0", older_mib), ("0.10434.0", older_mib), ("b11434", newer_mib)):
        box = Hardware(engines=(InstalledEngine("llama.cpp", "llama-server", version),))
        assert estimate(build.published(model), flags, box).memory[-1].kv_cache_bytes // MIB == mib


@pytest.mark.parametrize(
    "row", build.architectures()["server_rows"], ids=lambda row: f"{row['model']} {' '.join(row['args'])}"
)
def test_options_together_take_what_the_server_said(row: dict[str, Any]) -> None:
    """Overrides by several patterns, shared cells, locked or unmapped weights; what the server keeps for
    itself (saved prompts, checkpoints) changes no buffer."""
    ours = predicted(build.published(row["model"]), row, EngineTool.DRY_RUN)
    assert row["memory_mib"] == {
        device: {name: size // MIB for name, size in parts.items()} for device, parts in ours.items()
    }
