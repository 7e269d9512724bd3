"""What llama-server logs when it fails, and when it starts with less than planned.

Lines as printed by b10068 and b10434 (tests/captures/llama.cpp) and, for the GPU back ends, from the
sources of ggml at b11434.
"""

import re
from dataclasses import dataclass

from domain.errors import EngineError
from domain.launches.plan import HOST, LlamaFlags, Plan
from domain.units import MIB, gib
from launchers.command import Exit
from launchers.failures import FETCH_AGAIN, Failure, explain_exit, match_failure, oom_kill

SMALLER = "use a smaller --context or quant, or stop another model"
FAILURES: tuple[Failure, ...] = (
    Failure(
        "port_taken",
        r"couldn't bind HTTP server socket.*port: (\d+)",
        "port {1} is taken by another program",
        "launch again to use the next free port",
    ),
    Failure(
        "library_missing",
        r"error while loading shared libraries: ([^:]+):",
        "llama-server needs the library {1}, which is not installed",
        "install the driver or package that contains it, or use another build of llama.cpp",
    ),
    Failure(
        "device_missing",
        r'error while handling argument "[^"]*": invalid device: (\S+)',
        "llama-server has no device {1}",
        "llama-server --list-devices lists its devices; check the driver if one is missing",
    ),
    Failure(
        "unknown_flag",
        r"error: invalid argument: (\S+)",
        "this build of llama-server does not know {1}",
        "install a newer llama.cpp, or leave the option out",
    ),
    Failure(
        "bad_flag",
        r'error while handling argument "([^"]*)": (.+)',
        "llama-server does not accept this value for {1}: {2}",
        "llama-server --help lists the values",
    ),
    Failure(
        "file_missing",
        r"failed to open GGUF file '([^']+)' \(([^)]+)\)",
        "{1} can't be opened: {2}",
        "check the path and its permissions",
    ),
    Failure(
        "bad_file",
        r"invalid magic characters: '(.*)', expected 'GGUF'",
        "the model file is not a GGUF file: it starts with {1!r}",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"tensor '([^']+)' data is not within the file bounds",
        "the model file is truncated or damaged: {1} is beyond its end",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"gguf_init_from_\w+: (failed to read .+|invalid .+|.*corrupted.*)",
        "the model file is truncated or damaged: {1}",
        FETCH_AGAIN,
    ),
    Failure(
        "unsupported_model",
        r"unknown model architecture: '([^']+)'",
        "this build of llama-server does not know the architecture {1}",
        "install a newer llama.cpp",
    ),
    Failure(
        "unsupported_model",
        r"(unknown pre-tokenizer type: \S+|has invalid ggml type \d+|wrong number of tensors.*)",
        "this build of llama-server can't read the model: {1}",
        "install a newer llama.cpp",
    ),
    Failure(
        "out_of_host_memory",
        r"insufficient memory \(attempted to allocate +([\d.]+) MB\)",
        "out of host memory: an allocation of {1} MiB failed",
        SMALLER,
    ),
    Failure(
        "out_of_device_memory",
        r"failed to allocate ((?:CUDA|Vulkan|ROCm|HIP|SYCL|Metal|MTL|RPC)\S*) buffer of size (\d+)",
        "out of memory on {1}: an allocation of {2} bytes failed",
        SMALLER,
    ),
    Failure(
        "out_of_device_memory",
        r"(ErrorOutOfDeviceMemory|(?:cuda|hip)Malloc failed: out of memory|\w{1,64} error: out of memory)",
        "out of device memory ({1})",
        SMALLER,
    ),
    Failure(
        "out_of_host_memory",
        r"(mmap failed: Cannot allocate memory|std::bad_alloc|ErrorOutOfHostMemory|allocate CPU\S* buffer.*)",
        "out of host memory ({1})",
        SMALLER,
    ),
    Failure(
        "device_lost",
        r"(ErrorDeviceLost|CUDA error: .*|ROCm error: .*)",
        "the GPU or its driver failed: {1}",
        "see dmesg; a GPU that hangs may need a reset",
    ),
    Failure(
        "rpc_lost",
        r"(Remote RPC server crashed or returned malformed response|RPC.*connection.*(?:closed|reset|lost))",
        "the connection to an RPC server was lost: {1}",
        "start ggml-rpc-server there again, in the same version",
    ),
    Failure(
        "split_unsupported",
        r"device (\S+) does not support split buffers",
        "{1} does not support --split-mode row",
        "use --split-mode layer",
    ),
)
NO_GPU = Failure(
    "device_missing",
    r"failed to initialize (CUDA|ROCm): (.+)",
    "{1} can't be used: {2}",
    "check the driver; node-ctl doctor shows what is wrong",
)
DEGRADATIONS: tuple[Failure, ...] = (
    Failure(
        "device_missing",
        r"E Failed to connect to (\S+)",
        "the RPC server {1} can't be reached, so its share of the model would be placed elsewhere",
        "start ggml-rpc-server there",
    ),
    NO_GPU,
    Failure(
        "memory_not_locked",
        r"failed to mlock (\S+) buffer",
        "the weights can't be locked in memory: {1} bytes are over the limit",
        "raise LimitMEMLOCK of the service or the memlock limit of the user",
    ),
    Failure(
        "less_context",
        r"the slot context \((\d+)\) exceeds the training context of the model \((\d+)\)",
        "the engine limits the context to {2} tokens, {1} were planned",
        "use at most that for --context",
    ),
)
NO_DEVICES = ("none",)  # whose unit hides all GPUs
BUFFER = re.compile(
    r"(?<!\S)(?P<device>\S{1,64})\s{1,64}(?P<what>model|KV|RS|compute|output) buffer size ="
    r"\s{0,64}(?P<mib>\d{1,15}(?:\.\d{1,15})?) MiB"
)
ON_HOST = re.compile(r"CPU|AMX$|\S{0,64}_Host$")  # AMX: what ggml-cpu repacks for it, ggml-cpu/amx/amx.cpp


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer as the engine logs it; ``device`` is the name there: ``CPU_Mapped``."""

    device: str
    what: str
    size_bytes: int

    @property
    def on_host(self) -> bool:
        return ON_HOST.match(self.device) is not None


def diagnose(log_tail: str, ended: Exit) -> EngineError:
    if ended.oom_killed:
        return oom_kill("llama-server", log_tail)
    return match_failure(FAILURES, log_tail) or explain_exit("llama-server", log_tail, ended)


def find_degradation(log: str, plan: Plan) -> EngineError | None:
    is_of_host = isinstance(plan.flags, LlamaFlags) and plan.flags.devices == NO_DEVICES
    rows = [row for row in DEGRADATIONS if row is not NO_GPU] if is_of_host else DEGRADATIONS
    return match_failure(rows, log) or _find_unused_devices(log, plan)


def parse_buffers(log: str) -> tuple[Buffer, ...]:
    """What the engine allocated, from the log of its start at verbosity 4."""
    return tuple(
        Buffer(match["device"], match["what"], int(float(match["mib"]) * MIB))
        for match in BUFFER.finditer(log)
    )


def _find_unused_devices(log: str, plan: Plan) -> EngineError | None:
    """The line "offloaded 31/31 layers to GPU" appears without any GPU too: only a buffer is proof."""
    planned = [part for part in plan.memory if part.device != HOST and part.weights_bytes]
    weights = [buffer for buffer in parse_buffers(log) if buffer.what == "model"]
    if not (planned and weights and isinstance(plan.flags, LlamaFlags)):
        return None
    used = {buffer.device for buffer in weights if not buffer.on_host}
    if len(used) >= len(planned):
        return None
    on_host_bytes = sum(buffer.size_bytes for buffer in weights if buffer.on_host)
    return EngineError(
        f"weights were planned on {len(planned)} devices ({', '.join(part.device for part in planned)}), "
        f"{len(used)} have some; {gib(on_host_bytes)} are in host memory",
        hint="llama-server --list-devices lists its devices; check the driver if one is missing",
        cause="device_missing",
        engine_output=next(line for line in log.splitlines() if "model buffer size" in line).strip(),
    )
