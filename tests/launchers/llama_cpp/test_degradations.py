"""A start with less than planned is found in the engine's log, with the engine's own figures."""

from pathlib import Path

import pytest

from domain.launches.plan import HOST, DeviceMemory
from domain.units import MIB
from launchers import llama_cpp
from launchers.llama_cpp.failures import parse_buffers
from tests.launchers.llama_cpp.test_failures import captured, plan_of


def gpu(name: str) -> DeviceMemory:
    return DeviceMemory(name, weights_bytes=50 * MIB, kv_cache_bytes=0, compute_bytes=0)


def test_the_engines_own_figures_are_read_back() -> None:
    read = parse_buffers(captured("start-rpc.log"))
    weights = {buffer.device: buffer.size_bytes / MIB for buffer in read if buffer.what == "model"}
    assert weights == pytest.approx(
        {"CPU_Mapped": 28.69, "RPC0[127.0.0.1:15151]": 50.73, "RPC0[127.0.0.1:15152]": 41.37}, abs=0.01
    )
    assert sum(buffer.size_bytes for buffer in read if buffer.what == "KV") == pytest.approx(11.25 * MIB)
    assert [buffer.on_host for buffer in read if buffer.what == "model"] == [True, False, False]
    assert all(buffer.on_host for buffer in parse_buffers(captured("start-amx.log")))


@pytest.mark.parametrize(
    ("log", "memory", "cause"),
    [
        pytest.param("start-rpc.log", (gpu("GPU0"), gpu("GPU1")), None, id="all as planned"),
        pytest.param(
            "start-rpc.log", (gpu("GPU0"), gpu("GPU1"), gpu("GPU2")), "device_missing", id="one less"
        ),
        pytest.param("start-cpu.log", (gpu("GPU0"),), "device_missing", id="quietly on the CPU"),
        pytest.param("start-cpu.log", (gpu(HOST),), None, id="planned for the CPU"),
        pytest.param("start-rpc-down.log", (), "device_missing", id="an RPC server that is down"),
    ],
)
def test_less_than_planned_is_found_in_the_log(
    log: str, memory: tuple[DeviceMemory, ...], cause: str | None
) -> None:
    less = llama_cpp.find_degradation(captured(log), plan_of(Path("/m.gguf"), memory=memory))
    assert (None if less is None else less.cause) == cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "W warning: failed to mlock 1073741824-byte buffer (after previously locking 0 bytes)",
            "memory_not_locked",
        ),
        (
            "W the slot context (32768) exceeds the training context of the model (8192) - capping",
            "less_context",
        ),
        ("E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", "device_missing"),
    ],
)
def test_a_logged_degradation_is_an_error(line: str, cause: str) -> None:
    less = llama_cpp.find_degradation(line, plan_of(Path("/m.gguf")))
    assert less is not None
    assert (less.cause, less.engine_output) == (cause, line)


def test_weights_that_came_to_lie_in_ram_are_told_with_their_bytes() -> None:
    log = captured("start-rpc.log").replace("RPC0[127.0.0.1:15152] model", "CPU_Mapped model")
    less = llama_cpp.find_degradation(log, plan_of(Path("/m.gguf"), memory=(gpu("GPU0"), gpu("GPU1"))))
    assert less is not None
    assert str(less) == (
        "weights were planned on 2 devices (GPU0, GPU1), 1 have some; 70 MiB are in host memory"
    )
    assert "model buffer size" in less.engine_output
    assert "--list-devices" in less.hint


def test_a_gpu_with_a_cache_and_no_weights_is_one_less() -> None:
    log = "CPU_Mapped model buffer size = 92.00 MiB\nCUDA0 KV buffer size = 11.00 MiB\n"
    less = llama_cpp.find_degradation(log, plan_of(Path("/m.gguf"), memory=(gpu("GPU0"),)))
    assert less is not None
    assert "0 have some; 92 MiB are in host memory" in str(less)


def test_a_log_that_tells_of_no_weights_proves_nothing() -> None:
    plan = plan_of(Path("/m.gguf"), memory=(gpu("GPU0"),))
    assert llama_cpp.find_degradation("CUDA0 KV buffer size = 11.00 MiB\n", plan) is None
    assert llama_cpp.find_degradation("", plan) is None


def test_a_plan_without_devices_misses_none() -> None:
    """Its unit hides the GPUs, and a build for CUDA says so."""
    said = "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected"
    assert llama_cpp.find_degradation(said, plan_of(Path("/m.gguf"), devices=("none",))) is None
    assert llama_cpp.find_degradation(said, plan_of(Path("/m.gguf"), devices=("CUDA0",))) is not None
