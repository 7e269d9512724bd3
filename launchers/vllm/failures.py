"""What vLLM logs when it fails. Lines of 0.32.0 (tests/captures/vllm). Every failed start ends with "Engine
core initialization failed", and a crash while serving exits 0: neither says why."""

from domain.errors import EngineError
from domain.launches.plan import Plan
from launchers.command import Exit
from launchers.failures import FETCH_AGAIN, Failure, explain_exit, match_failure, oom_kill

FAILURES: tuple[Failure, ...] = (
    Failure(
        "unknown_flag",
        r"vllm: error: unrecognized arguments: (.+)",
        "this vLLM does not know {1}",
        "install a version that has it, or leave the option out",
    ),
    Failure(
        "port_taken",
        r"\[Errno 98\] Address already in use",
        "the port is taken by another program",
        "launch again to use the next free port",
    ),
    Failure(
        "file_missing",
        r"Repo id must be in the form .*: '([^']*)'",
        "there is no model folder {1}",
        "check the path; node-ctl launch downloads a model given by name or OWNER/REPO",
    ),
    Failure(
        "bad_file",
        r"Invalid repository ID or local directory specified: '([^']*)'",
        "{1} is not a model folder: config.json is missing",
        FETCH_AGAIN,
    ),
    Failure(
        "bad_file",
        r"SafetensorError: (.+)",
        "the weights are truncated or damaged: {1}",
        FETCH_AGAIN,
    ),
    Failure(
        "context_too_long",
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(max_position_embeddings=(\d+)",
        "a context of {1} tokens is longer than the model's {2}",
        "use at most that for --context",
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
        "{1} attention heads can't be divided among {2} devices",
        "use a number of GPUs that divides the number of heads",
    ),
    Failure(
        "kv_too_small",
        r"To serve at least one request .*\((\d+)\), \(([\d.]+ GiB) .*maximum model length is (\d+)",
        "the KV cache is too small: {1} tokens need {2}, it holds {3} tokens",
        "use a smaller --context",
    ),
    Failure(
        "out_of_host_memory",
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on kv cache allocation is less than "
        r"requested memory for kv \(([-\d./]+) GiB\)",
        "the KV cache needs {3} GiB, {1} of {2} GiB are free",
        "use a smaller --context, or stop another model",
    ),
    Failure(
        "out_of_host_memory",
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on startup is less than",
        "too little memory is free at the start: {1} of {2} GiB",
        "stop another model",
    ),
    Failure(
        "kv_too_small",
        r"No available memory for the cache blocks",
        "no memory is left for the KV cache",
        "use a smaller --context, or stop another model",
    ),
    Failure(
        "out_of_device_memory",
        r"(?:torch\.(?:cuda\.)?)?OutOfMemoryError: (.+?)(?:\. GPU|$)",
        "out of device memory: {1}",
        "use a smaller --context or quant, or stop another model",
    ),
    Failure(
        "out_of_device_memory",
        r"Free memory on device \S+ \(([\d.]+)/([\d.]+) GiB\) on startup is less than",
        "too little device memory is free at the start: {1} of {2} GiB",
        "stop other programs that use the GPU",
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
# Matched last: that a process died explains little, but more than the exit status.
CRASHES: tuple[Failure, ...] = (
    Failure(
        "crashed",
        r"Worker proc (\S+) died unexpectedly \(exit code: (\S+)\)",
        "a worker of vLLM died ({1}, exit code {2})",
        "dmesg shows whether memory ran out; node-ctl logs shows the last lines",
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
        return oom_kill("vLLM", log_tail)
    return (
        match_failure(FAILURES, log_tail)
        or match_failure(CRASHES, log_tail)
        or explain_exit("vLLM", log_tail, ended)
    )


def find_degradation(log: str, plan: Plan) -> EngineError | None:  # noqa: ARG001 - the interface of every launcher
    """VLLM has no silent fallback: it serves as configured, or ends."""
    return None
