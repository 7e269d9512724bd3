"""A start that fails says why, with the engine's own line: the real engine, made to fail in each way."""

import socket
from dataclasses import replace
from pathlib import Path
from signal import Signals

import gguf
import pytest

from domain.errors import EngineError
from domain.launches.plan import Confidence, DeviceMemory, LlamaFlags, Plan, Speed
from domain.models.model import Source, WeightFile, Weights
from launchers import llama_cpp, ports
from launchers.base import Capabilities
from launchers.command import Command, Exit
from launchers.process.engine import EngineProcess
from tests.launchers.conftest import CAPTURES


def captured(name: str) -> str:
    return (CAPTURES / "llama.cpp" / name).read_text()


def plan_of(model: Path, *, memory: tuple[DeviceMemory, ...] = (), **flags: object) -> Plan:
    weights = Weights(Source.FILE, str(model), None, (WeightFile(model.name),), "Q4_1", 1, str(model.parent))
    small = LlamaFlags(context_tokens=256, parallel=1, threads=1, cache_ram_mib=0)
    return Plan(
        model=model.name,
        engine="llama.cpp",
        weights=weights,
        context_tokens=256,
        parallel=1,
        kv_cache_type="f16",
        memory=memory,
        speed=Speed(),
        fits=True,
        confidence=Confidence.ESTIMATED,
        flags=replace(small, **flags),  # type: ignore[arg-type]
    )


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine llama-server ends before its last lines are written in one of three starts, and none
    of them is quick."""
    monkeypatch.setattr("launchers.process.engine.START_ATTEMPTS", 12)
    monkeypatch.setattr("launchers.process.engine.QUICK_S", 600)


async def failure(command: Command, log_path: Path) -> EngineError:
    process = EngineProcess(command, log_path=log_path, diagnose=llama_cpp.diagnose)
    with pytest.raises(EngineError) as failed:
        await process.ensure_ready(60)
    assert not process.alive
    assert failed.value.engine_output, await process.log_tail()
    assert failed.value.hint
    return failed.value


def other_architecture(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "flux-capacitor")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def cut(source: Path, target: Path, size_bytes: int) -> Path:
    with source.open("rb") as file:
        target.write_bytes(file.read(size_bytes))
    return target


@pytest.mark.engine
@pytest.mark.parametrize(
    ("case", "cause", "says"),
    [
        pytest.param("absent", "file_missing", "No such file", id="no file"),
        pytest.param("text", "bad_file", "starts with 'hell'", id="another format"),
        pytest.param("header", "bad_file", "truncated or damaged", id="cut within the header"),
        pytest.param("half", "bad_file", "blk.16.ffn_down.weight is beyond", id="cut within the weights"),
        pytest.param("other", "unsupported_model", "flux-capacitor", id="unknown architecture"),
    ],
)
async def test_a_bad_file_is_named(
    engine: Capabilities, smollm2: Path, tmp_path: Path, port: int, case: str, cause: str, says: str
) -> None:
    model = tmp_path / f"{case}.gguf"
    if case == "text":
        model.write_text("hello")
    elif case == "other":
        other_architecture(model)
    elif case in ("header", "half"):
        cut(smollm2, model, {"header": 100_000, "half": 50_000_000}[case])
    command = llama_cpp.command(plan_of(model), caps=engine, port=port, name="m")
    failed = await failure(command, tmp_path / "log")
    assert failed.cause == cause
    assert says in str(failed)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("extra", "cause", "says"),
    [
        pytest.param(("--no-such-flag", "3"), "unknown_flag", "--no-such-flag", id="unknown flag"),
        pytest.param(("--ctx-size", "many"), "bad_flag", "--ctx-size: stoi", id="a word for a number"),
        pytest.param(("--device", "Vulkan7"), "device_missing", "no device Vulkan7", id="a device gone"),
    ],
)
async def test_a_flag_the_build_refuses_is_named(
    engine: Capabilities,
    smollm2: Path,
    tmp_path: Path,
    port: int,
    extra: tuple[str, ...],
    cause: str,
    says: str,
) -> None:
    command = llama_cpp.command(plan_of(smollm2, extra=extra), caps=engine, port=port, name="m")
    failed = await failure(command, tmp_path / "log")
    assert (failed.cause, says in str(failed)) == (cause, True)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("limit_kib", "context_tokens"),
    [
        pytest.param(1_500_000, 262_144, id="the KV cache"),
        pytest.param(300_000, 256, id="the weights"),
    ],
)
async def test_an_out_of_memory_error_has_the_size(
    engine: Capabilities, smollm2: Path, tmp_path: Path, port: int, limit_kib: int, context_tokens: int
) -> None:
    command = llama_cpp.command(
        plan_of(smollm2, context_tokens=context_tokens), caps=engine, port=port, name="m"
    )
    limited = ("/bin/sh", "-c", f'ulimit -v {limit_kib} && exec "$0" "$@"', *command.argv)
    failed = await failure(replace(command, argv=limited), tmp_path / "log")
    assert failed.cause == "out_of_host_memory"
    assert "memory" in failed.engine_output or "allocate" in failed.engine_output


@pytest.mark.engine
async def test_a_port_taken_during_the_start_is_named(
    engine: Capabilities, smollm2: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the engine ends before it has written that line: by the next attempt's look at the port."""
    looks, is_free = iter([True]), ports.is_free
    monkeypatch.setattr(ports, "is_free", lambda port, host: next(looks, None) or is_free(port, host))
    command = llama_cpp.command(plan_of(smollm2), caps=engine, port=port, name="m")
    process = EngineProcess(command, log_path=tmp_path / "log", diagnose=llama_cpp.diagnose)
    taken = pytest.raises(EngineError, match=f"port {port} is taken")
    with socket.create_server(("127.0.0.1", port)), taken as failed:
        await process.ensure_ready(60)
    assert failed.value.cause == "port_taken"


@pytest.mark.engine
async def test_a_planned_rpc_device_that_is_down_is_an_error_not_a_slow_model(
    engine: Capabilities, smollm2: Path, tmp_path: Path, port: int
) -> None:
    plan = plan_of(smollm2, rpc=("127.0.0.1:9",), gpu_layers=99)
    process = EngineProcess(
        llama_cpp.command(plan, caps=engine, port=port, name="m"),
        log_path=tmp_path / "log",
        diagnose=llama_cpp.diagnose,
        find_degradation=lambda log: llama_cpp.find_degradation(log, plan),
    )
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9 can't be reached") as failed:
        await process.ensure_ready(60)
    assert failed.value.cause == "device_missing"
    assert not process.alive


def test_a_build_for_another_cpu_is_recognised_by_its_signal() -> None:
    failed = llama_cpp.diagnose(captured("sigill.log"), Exit(-Signals.SIGILL))
    assert failed.cause == "illegal_instruction"
    assert "CPU" in str(failed)


@pytest.mark.parametrize(
    ("log", "ended", "cause", "says"),
    [
        pytest.param("", Exit(-9, oom_killed=True), "oom_killed", "kernel killed", id="OOM killer"),
        pytest.param("", Exit(-9), "killed", "SIGKILL while starting", id="killed by hand"),
        pytest.param("", Exit(-6, served=True), "crashed", "SIGABRT while serving", id="abort"),
        pytest.param("", Exit(None, served=True), "exited", "ended while serving", id="adopted, no status"),
        pytest.param("odd\nfatal: tape\nbye", Exit(3), "exited", "exited 3", id="a failure nobody knows"),
        pytest.param(
            "llama-server: error while loading shared libraries: libcuda.so.1: cannot open",
            Exit(127),
            "library_missing",
            "libcuda.so.1",
            id="a driver's library",
        ),
        pytest.param(
            "E alloc_tensor_range: failed to allocate Vulkan0 buffer of size 6039797760",
            Exit(1),
            "out_of_device_memory",
            "Vulkan0",
            id="a GPU's memory",
        ),
        pytest.param(
            "E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 1.00 MiB on device 0: "
            "cudaMalloc failed: out of memory",
            Exit(1),
            "out_of_device_memory",
            "cudaMalloc",
            id="CUDA",
        ),
        pytest.param(
            "terminate called: vk::DeviceLostError vk::Queue::submit: ErrorDeviceLost",
            Exit(-6),
            "device_lost",
            "ErrorDeviceLost",
            id="a GPU that hangs",
        ),
        pytest.param(
            "E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 44929",
            Exit(1),
            "port_taken",
            "port 44929",
            id="a port, in the words of b10434",
        ),
    ],
)
def test_failures_are_known_by_their_words(log: str, ended: Exit, cause: str, says: str) -> None:
    failed = llama_cpp.diagnose(log, ended)
    assert failed.cause == cause
    assert says in str(failed)
    assert failed.hint


def test_an_unknown_failure_has_the_last_line_that_looks_like_an_error() -> None:
    assert llama_cpp.diagnose("odd\nfatal: tape\nbye", Exit(3)).engine_output == "fatal: tape"


@pytest.mark.parametrize(("signal", "tells"), [(9, False), (15, False), (6, True)])
def test_what_an_engine_said_before_others_killed_it_is_not_why_it_ended(signal: int, tells: bool) -> None:
    log = "srv send_error: error: request (526 tokens) exceeds the available context size\n"
    found = llama_cpp.diagnose(log, Exit(-signal, served=True))
    assert found.in_full.startswith("llama-server was killed by SIG")
    assert ("exceeds" in found.in_full) is tells
