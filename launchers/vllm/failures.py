"""What vLLM says when it fails. Lines of 0.32.0 (tests/captures/vllm). Every failed start ends with "Engine
core initialization failed", and a crash while serving exits 0: neither tells anything."""

from domain.errors import EngineError
from domain.plan import Plan
from launchers.command import Exit
from launchers.failures import FETCH_AGAIN, Failure, by_exit, known, out_of_memory_kill

TABLE: tuple[Failure, ...] = (
    Failure(
        "unknown_flag",
        r"vllm: error: unrecognized arguments: (.+)",
        "this vLLM does not know {1}",
        "install the version that has it, or leave the option out",
    ),
    Failure(
        "port_taken",
        r"\[Errno 98\] Address already in use",
        "the port is taken by another program",
        "launch again: the next free port is used",
    ),
    Failure(
        "file_missing",
        r"Repo id must be in the form .*: '([^']*)'",
        "there is no model folder {1}",
        "check the path; a model by its name or OWNER/REPO is fetched by node-ctl launch",
    ),
    Failure(
        "bad_file",
        r"Invalid repository ID or local directory specified: '([^']*)'",
        "{1} is no model folder: config.json is missing",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"SafetensorError: (.+)",
        "the weights are cut off or damaged: {1}",
        FETCH_AGAIN,
    ),
    Failure(
        "context_too_long",
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(max_position_embeddings=(\d+)",
        "a context of {1} tokens was asked for, the model has {2}",
        "ask for at most that with --context",
    ),
    Failure(
        "quantization_mismatch",
        r"Cannot find the config file for (\w+)",
        "the model is not quantised with {1}",
        "leave the quantization out: vLLM reads it from the model",
    ),
    Failure(
        "heads_not_divisible",
        r"number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "{1} attention heads can't be shared by {2} devices",
        "use a number of GPUs that divides the heads",
    ),
    Failure(
        "kv_too_small",
        r"To serve at least one request .*\((\d+)\), \(([\d.]+ GiB) .*maximum model length is (\d+)",
        "the KV cache is too small: {1} tokens need {2}, it holds {3} tokens",
        "ask for less with --context",
    ),
    Failure(
        "out_of_host_memory",
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on kv cache allocation is less than "
        r"requested memory for kv \(([-\d./]+) GiB\)",
        "the KV cache needs {3} GiB, {1} GiB of {2} are free",
        "ask for less with --context, or stop another model",
    ),
    Failure(
        "out_of_host_memory",
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on startup is less than",
        "too little memory is free at the start: {1} GiB of {2}",
        "stop another model",
    ),
    Failure(
        "kv_too_small",
        r"No available memory for the cache blocks",
        "no memory is left for the KV cache",
        "ask for less with --context, or stop another model",
    ),
    Failure(
        "out_of_device_memory",
        r"(?:torch\.(?:cuda\.)?)?OutOfMemoryError: (.+?)(?:\. GPU|$)",
        "device memory ran out: {1}",
        "ask for less with --context, choose a smaller quant, or stop another model",
    ),
    Failure(
        "out_of_device_memory",
        r"Free memory on device \S+ \(([\d.]+)/([\d.]+) GiB\) on startup is less than",
        "too little device memory is free at the start: {1} GiB of {2}",
        "stop whatever else uses the GPU",
    ),
    Failure(
        "environment_broken",
        r"PackageNotFoundError: (.+)",
        "the environment of vLLM is incomplete: {1}",
        "make it again: make setup-vllm",
    ),
    Failure(
        "environment_broken",
        r"(ModuleNotFoundError: .+|ImportError: .+|operator torchvision::nms does not exist)",
        "the environment of vLLM does not work: {1}",
        "make it again: make setup-vllm",
    ),
    Failure(
        "unsupported_model",
        r"Model architectures (\[.*?\]) are not supported",
        "this vLLM does not know the architecture {1}",
        "install a newer vLLM, or use llama.cpp",
    ),
)
# Told last: a part that died explains nothing by itself, but it says more than the exit status.
DIED: tuple[Failure, ...] = (
    Failure(
        "crashed",
        r"Worker proc (\S+) died unexpectedly \(exit code: (\S+)\)",
        "a worker of vLLM died ({1}, exit code {2})",
        "dmesg tells whether memory ran out; node-ctl logs shows the last lines",
    ),
    Failure(
        "crashed",
        r"EngineDeadError: (.+?)(?:\. See|$)",
        "vLLM's engine process died: {1}",
        "node-ctl logs shows the last lines",
    ),
)


def diagnose(log_tail: str, ended: Exit) -> EngineError:
    if ended.oom_killed:
        return out_of_memory_kill("vLLM", log_tail)
    return known(TABLE, log_tail) or known(DIED, log_tail) or by_exit("vLLM", log_tail, ended)


def degraded(log: str, plan: Plan) -> EngineError | None:  # noqa: ARG001 - the face of every launcher
    """VLLM has no quiet fallback: it serves what it was told, or ends."""
    return None
