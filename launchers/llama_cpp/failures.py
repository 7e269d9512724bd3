"""What llama-server says when it fails, and when it starts with less than planned.

Lines as printed by b10068, b10434 (tests/captures/llama.cpp) and, for the GPU back ends, by ggml's
sources b11434.
"""

import re
from dataclasses import dataclass

from domain.errors import EngineError
from domain.plan import HOST, LlamaFlags, Plan
from domain.units import MIB, gib
from launchers.command import Exit
from launchers.failures import FETCH_AGAIN, Failure, by_exit, known, out_of_memory_kill

SMALLER = "ask for less with --context, choose a smaller quant, or stop another model"
TABLE: tuple[Failure, ...] = (
    Failure(
        "port_taken",
        r"couldn't bind HTTP server socket.*port: (\d+)",
        "port {1} is taken by another program",
        "launch again: the next free port is used",
    ),
    Failure(
        "library_missing",
        r"error while loading shared libraries: ([^:]+):",
        "llama-server needs the library {1}, which this system lacks",
        "install the driver or the package that brings it, or use another build of llama.cpp",
    ),
    Failure(
        "device_missing",
        r'error while handling argument "[^"]*": invalid device: (\S+)',
        "llama-server has no device {1}",
        "llama-server --list-devices shows those it sees; look at the driver if one is gone",
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
        "llama-server does not take this value for {1}: {2}",
        "llama-server --help lists the values",
    ),
    Failure(
        "file_missing",
        r"failed to open GGUF file '([^']+)' \(([^)]+)\)",
        "{1} can't be opened: {2}",
        "check the path and who may read it",
    ),
    Failure(
        "bad_file",
        r"invalid magic characters: '(.*)', expected 'GGUF'",
        "the model file is no GGUF: it begins with {1!r}",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"tensor '([^']+)' data is not within the file bounds",
        "the model file is cut off or damaged: {1} lies beyond its end",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"gguf_init_from_\w+: (failed to read .+|invalid .+|.*corrupted.*)",
        "the model file is cut off or damaged: {1}",
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
        "host memory ran out: {1} MiB more were asked for",
        SMALLER,
    ),
    Failure(
        "out_of_device_memory",
        r"failed to allocate ((?:CUDA|Vulkan|ROCm|HIP|SYCL|Metal|MTL|RPC)\S*) buffer of size (\d+)",
        "the memory of {1} ran out: {2} bytes more were asked for",
        SMALLER,
    ),
    Failure(
        "out_of_device_memory",
        r"(ErrorOutOfDeviceMemory|(?:cuda|hip)Malloc failed: out of memory|\w+ error: out of memory)",
        "device memory ran out ({1})",
        SMALLER,
    ),
    Failure(
        "out_of_host_memory",
        r"(mmap failed: Cannot allocate memory|std::bad_alloc|ErrorOutOfHostMemory|allocate CPU\S* buffer.*)",
        "host memory ran out ({1})",
        SMALLER,
    ),
    Failure(
        "device_lost",
        r"(ErrorDeviceLost|CUDA error: .*|ROCm error: .*)",
        "the GPU or its driver failed: {1}",
        "dmesg tells more; a GPU that hangs may need a reset",
    ),
    Failure(
        "rpc_lost",
        r"(Remote RPC server crashed or returned malformed response|RPC.*connection.*(?:closed|reset|lost))",
        "an RPC server is gone: {1}",
        "start ggml-rpc-server there again, of the same version",
    ),
    Failure(
        "split_unsupported",
        r"device (\S+) does not support split buffers",
        "{1} can't share a layer by rows",
        "use the split mode layer",
    ),
)
LESS: tuple[Failure, ...] = (
    Failure(
        "device_missing",
        r"E Failed to connect to (\S+)",
        "the RPC server {1} can't be reached: its share of the model would go elsewhere",
        "start ggml-rpc-server there",
    ),
    Failure(
        "device_missing",
        r"failed to initialize (CUDA|ROCm): (.+)",
        "{1} can't be used: {2}",
        "look at the driver; node-ctl doctor helps",
    ),
    Failure(
        "memory_not_locked",
        r"failed to mlock (\S+) buffer",
        "the weights can't be locked in memory ({1} bytes refused)",
        "raise LimitMEMLOCK of the service, or the memlock limit of the user",
    ),
    Failure(
        "less_context",
        r"the slot context \((\d+)\) exceeds the training context of the model \((\d+)\)",
        "the engine caps the context at {2} tokens, {1} were planned",
        "ask for at most that with --context",
    ),
)
BUFFER = re.compile(
    r"(?P<device>\S+)\s+(?P<what>model|KV|RS|compute|output) buffer size =\s*(?P<mib>[\d.]+) MiB"
)
ON_HOST = re.compile(r"CPU|.*_Host$")


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer as the engine's log has it; ``device`` is its name there: ``CPU_Mapped``."""

    device: str
    what: str
    size_bytes: int

    @property
    def on_host(self) -> bool:
        return ON_HOST.match(self.device) is not None


def diagnose(log_tail: str, ended: Exit) -> EngineError:
    if ended.oom_killed:
        return out_of_memory_kill("llama-server", log_tail)
    return known(TABLE, log_tail) or by_exit("llama-server", log_tail, ended)


def degraded(log: str, plan: Plan) -> EngineError | None:
    return known(LESS, log) or _fewer_devices(log, plan)


def buffers(log: str) -> tuple[Buffer, ...]:
    """What the engine really allocated, from the log of its start at verbosity 4."""
    return tuple(
        Buffer(found["device"], found["what"], int(float(found["mib"]) * MIB))
        for found in BUFFER.finditer(log)
    )


def _fewer_devices(log: str, plan: Plan) -> EngineError | None:
    """The line "offloaded 31/31 layers to GPU" comes without any GPU, too: only a buffer is a proof."""
    planned = [part for part in plan.memory if part.device != HOST and part.weights_bytes]
    weights = [buffer for buffer in buffers(log) if buffer.what == "model"]
    if not (planned and weights and isinstance(plan.flags, LlamaFlags)):
        return None
    used = {buffer.device for buffer in weights if not buffer.on_host}
    if len(used) >= len(planned):
        return None
    on_host_bytes = sum(buffer.size_bytes for buffer in weights if buffer.on_host)
    return EngineError(
        f"{len(planned)} devices were to hold weights ({', '.join(part.device for part in planned)}), "
        f"{len(used)} do; {gib(on_host_bytes)} went to host memory",
        hint="llama-server --list-devices shows what it sees; look at the driver if a device is gone",
        cause="device_missing",
        line=next(line for line in log.splitlines() if "model buffer size" in line).strip(),
    )
