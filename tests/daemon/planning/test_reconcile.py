"""Predicted and reported bytes side by side: the rules, and the real llama-server on replicas and devices."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from catalog.resolved_models import model_of_file
from catalog.synthetic.replica import write
from daemon.planning import reconcile
from domain.launches.plan import HOST, LLAMA_CPP, DeviceMemory
from domain.machine.hardware import Gpu, Hardware, InstalledEngine, MemoryKind
from domain.models.model import ResolvedModel
from domain.units import GIB, MIB
from launchers import llama_cpp
from launchers.base import Capabilities, SearchPaths
from launchers.llama_cpp import dry_run
from launchers.registry import choose
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import memory_layout
from tests.conftest import ROOT
from tests.rigs import rpc
from tests.rigs.replica import shape_from_facts, write_replica

TRUTH = ROOT / "tests" / "captures" / "llamacpp-memory.json"
SIZES_MIB = (24576, 8192)
WITHIN = 0.03  # of a device; the engine rounds each of six figures down to MiB

pytestmark = pytest.mark.engine


@lru_cache(maxsize=1)
def facts() -> dict[str, Any]:
    return dict(json.loads(TRUTH.read_text())["models"])


@pytest.fixture(scope="module")
def engine() -> Capabilities:
    return choose(LLAMA_CPP, SearchPaths(search_path=os.environ["PATH"]))


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("rpc")
    with rpc.devices(SIZES_MIB, folder) as addresses:
        yield addresses


def box(engine: Capabilities, count: int) -> Hardware:
    gpus = tuple(
        Gpu(f"rpc:{number}", "", "RPC", MemoryKind.DEDICATED, size_mib * MIB, size_mib * MIB)
        for number, size_mib in enumerate(SIZES_MIB[:count])
    )
    return Hardware(gpus=gpus, engines=(InstalledEngine(LLAMA_CPP, engine.path, engine.version),))


def model(name: str, quant: str, folder: Path) -> ResolvedModel:
    return model_of_file(
        write_replica(folder / f"{name}-{quant}.gguf", shape_from_facts(facts()[name], quant))
    )


@pytest.mark.parametrize(
    ("name", "quant", "count", "args"),
    [
        pytest.param("llama-3.1-8b", "Q4_K_M", 1, "-ngl 12 -c 8192 -np 1", id="dense, partly offloaded"),
        pytest.param(
            "gpt-oss-120b", "MXFP4", 1, "-ngl 999 --n-cpu-moe 30 -c 16384 -np 1", id="experts on the CPU"
        ),
        pytest.param("qwen3-32b", "Q4_K_M", 2, "-ngl 999 -ts 3,1 -c 16384 -np 1", id="two unequal devices"),
        pytest.param("deepseek-v2-lite", "Q4_K_M", 2, "-ngl 999 -ts 2,1 -c 16384 -np 1", id="MLA"),
        pytest.param("gemma-3-12b", "Q4_K_M", 1, "-ngl 30 -c 32768 -np 2", id="sliding window"),
        pytest.param("qwen3-next-80b", "Q8_0", 1, "-ngl 999 --cpu-moe -c 16384 -np 1", id="hybrid"),
    ],
)
def test_predicted_and_reported_bytes_side_by_side(
    name: str, quant: str, count: int, args: str, engine: Capabilities, lent: tuple[str, ...], tmp_path: Path
) -> None:
    found = model(name, quant, tmp_path)
    (tmp_path / "copy").mkdir()
    replica = write(found.weights, tmp_path / "copy", within_s=600)
    flags = llama_cpp.parse(args.split())
    flags = replace(flags, rpc=lent[:count])
    rules = memory_layout(found.shape, flags, box(engine, count), tool=EngineTool.DRY_RUN).memory
    told = dry_run.run(flags, engine, replica, timeout_s=600)
    said = {row.device: 0 for row in rules}
    on_device = iter(row.device for row in rules if row.device != HOST)
    for held in told.devices:
        device = next(on_device) if held.is_device else HOST
        said[device] += (held.model_bytes or 0) + held.context_bytes + held.compute_bytes
    for row in rules:
        predicted_mib, said_mib = total(row) / MIB, said[row.device] / MIB
        print(f"{name:18} {row.device:5} predicted {predicted_mib:9.1f} MiB, said {said_mib:9.0f} MiB")
    for row in rules:
        assert abs(total(row) - said[row.device]) <= max(6 * MIB, WITHIN * said[row.device])


def total(row: DeviceMemory) -> int:
    return row.weights_bytes + row.kv_cache_bytes + row.compute_bytes


def test_a_plan_for_more_devices_than_the_engine_sees_is_not_compared(
    engine: Capabilities, tmp_path: Path
) -> None:
    found = model("qwen3-0.6b", "Q4_K_M", tmp_path)
    flags = llama_cpp.parse(["-ngl", "999", "-c", "4096", "-np", "1"])
    rules = memory_layout(found.shape, flags, box(engine, 1)).memory
    told = dry_run.run(flags, engine, Path(found.weights.first_path or ""))
    assert reconcile.differences(rules, told.devices) is None


def test_a_replica_of_any_size_takes_a_few_megabytes(tmp_path: Path) -> None:
    found = model("gpt-oss-120b", "MXFP4", tmp_path)
    (tmp_path / "copy").mkdir()
    replica = write(found.weights, tmp_path / "copy", within_s=600)
    assert replica.stat().st_size == found.shape.file_bytes > 50 * GIB
    assert replica.stat().st_blocks * 512 < 10 * MIB
