"""Values survive the way through JSON; a file from somebody else is checked field by field."""

import json

import pytest

from domain.launches.launch import LaunchRow, LaunchState
from domain.launches.plan import Confidence, DeviceMemory, LlamaFlags, Plan, Range, Speed, VllmFlags
from domain.machine.hardware import BandwidthSource, Cpu, Gpu, Hardware, Memory, MemoryKind
from domain.models.model import Source, Weights
from domain.serialization import from_json, to_json

BOX = Hardware(
    cpu=Cpu(model="AMD EPYC", physical_cores=2, isa=("avx2", "avx512f"), quota_cpus=1.5),
    memory=Memory(total_bytes=24, bandwidth_bytes_per_s=2.5e10, bandwidth_source=BandwidthSource.MEASURED),
    gpus=(Gpu("pci:0000:01:00.0", "nvidia", "NVIDIA GB10", MemoryKind.UNIFIED),),
)


def test_a_profile_comes_back_as_it_was():
    assert from_json(Hardware, json.loads(json.dumps(to_json(BOX)))) == BOX


def test_unknown_stays_null():
    gpu = to_json(BOX)["gpus"][0]
    assert gpu["memory_total_bytes"] is None
    assert gpu["memory_kind"] == "unified"


def test_a_row_keeps_its_nested_memory():
    row = LaunchRow("a", "m", "llama.cpp", LaunchState.READY, memory=(DeviceMemory("host", 1, 2, 3),))
    assert from_json(LaunchRow, to_json(row)) == row


@pytest.mark.parametrize("flags", [LlamaFlags(gpu_layers=3), VllmFlags(tensor_parallel=2), VllmFlags()])
def test_a_plan_keeps_the_flags_of_its_engine(flags: LlamaFlags | VllmFlags):
    plan = Plan(
        model="m",
        engine="e",
        weights=Weights(Source.FILE, "r", None, (), "q", 1),
        context_tokens=1,
        parallel=1,
        kv_cache_type="f16",
        memory=(),
        speed=Speed(Range(1, 2, 3)),
        fits=True,
        confidence=Confidence.ESTIMATED,
        flags=flags,
    )
    assert from_json(Plan, json.loads(json.dumps(to_json(plan)))) == plan


def test_a_file_of_a_newer_version_loads():
    assert from_json(Cpu, {"model": "x", "invented_later": 1}) == Cpu(model="x")


def test_a_whole_number_is_a_rate_too():
    assert from_json(Memory, {"bandwidth_bytes_per_s": 10}).bandwidth_bytes_per_s == 10.0


@pytest.mark.parametrize(
    ("data", "names"),
    [
        pytest.param({"gpus": [{"id": "a", "vendor": "b"}]}, "Gpu.name is missing", id="a missing field"),
        pytest.param({"cpu": {"physical_cores": "two"}}, "Cpu.physical_cores", id="a word for a number"),
        pytest.param({"cpu": {"physical_cores": True}}, "Cpu.physical_cores", id="true for a number"),
        pytest.param({"gpus": {"id": "a"}}, "Hardware.gpus", id="an object for a list"),
        pytest.param(
            {"memory": {"bandwidth_source": "guessed"}}, "guessed", id="a word that is none of ours"
        ),
        pytest.param([], "Hardware", id="a list for an object"),
    ],
)
def test_a_wrong_file_is_refused_by_the_field(data: object, names: str):
    with pytest.raises(ValueError, match=names):
        from_json(Hardware, data)
