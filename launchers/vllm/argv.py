"""The command line of ``vllm serve`` for a plan."""

from signal import Signals

from domain.errors import UsageError
from domain.launches.plan import EngineFlags, Plan, VllmFlags
from launchers.base import Capabilities
from launchers.command import Command, StopPolicy
from launchers.option_table import check_reserved, missing_option

RESERVED_FLAGS = """
--host --port --uds --root-path --model --served-model-name --api-key --ssl-keyfile --ssl-certfile --config
--allowed-origins --headless --grpc --grpc-port --middleware --api-server-count -asc
"""
# No usage reports, no downloads, no socket outside the loopback.
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
}
# Measured with 0.32.0: while it starts, SIGTERM is ignored or hangs it; SIGINT to the leader ends it in 6 s
# to more than 20 s, to all processes in 5 s. Once healthy, SIGTERM ends it in 1.1 s, unless a client holds
# a stream. It leaves in /dev/shm: psm_* and sem.mp-* after a kill, vllm_dist_* after a clean end.
STOP = StopPolicy(
    starting_signal=Signals.SIGINT,
    starting_to_all=True,
    serving_signal=Signals.SIGTERM,
    grace_s=20.0,
    shared_memory=("psm_*", "sem.mp-*", "vllm_dist_*"),
)


def arguments(flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
    if not isinstance(flags, VllmFlags):
        raise UsageError(f"vLLM can't take the flags of another engine: {type(flags).__name__}")
    check_reserved(flags.extra, RESERVED_FLAGS.split())
    wanted: tuple[tuple[str, object], ...] = (
        ("--dtype", flags.dtype),
        ("--max-model-len", flags.max_model_len),
        ("--kv-cache-memory-bytes", flags.kv_cache_memory_bytes),
        ("--gpu-memory-utilization", flags.gpu_memory_utilization),
        ("--kv-cache-dtype", None if flags.kv_cache_dtype == "auto" else flags.kv_cache_dtype),
        ("--block-size", flags.block_size),
        ("--cpu-offload-gb", flags.cpu_offload_gb or None),
        ("--max-num-batched-tokens", flags.max_num_batched_tokens),
        ("--tensor-parallel-size", flags.tensor_parallel),
        ("--quantization", flags.quantization),
        ("--max-num-seqs", flags.max_num_seqs),
        ("--config-format", flags.config_format),
        ("--load-format", flags.load_format),
        ("--tokenizer-mode", flags.tokenizer_mode),
        ("--runner", flags.runner),
        ("--hf-overrides", flags.hf_overrides),
        ("--chat-template", flags.chat_template),
        ("--device-ids", ",".join(str(index) for index in flags.device_ids) or None),
        *_chat(flags, caps),
    )
    argv = [word for name, value in wanted if value is not None for word in (name, str(value))]
    if flags.enforce_eager:
        argv.append("--enforce-eager")
    if flags.auto_tool_choice and "--tool-call-parser" in argv:
        argv.append("--enable-auto-tool-choice")
    names = [name for name, value in wanted if value is not None]
    if missing := [name for name in (*names, *argv[2 * len(names) :]) if name not in caps.flags]:
        raise missing_option(missing[0], caps, hint="install a newer vLLM: make setup-vllm")
    return (*argv, *flags.extra)


def _chat(flags: VllmFlags, caps: Capabilities) -> tuple[tuple[str, str | None], ...]:
    """Parsers that this build has. Without them it serves too, but does not parse reasoning or tool calls."""
    wanted = (
        ("--tool-call-parser", flags.tool_call_parser),
        ("--reasoning-parser", flags.reasoning_parser),
    )
    return tuple(
        (option, word)
        for option, word in wanted
        if option in caps.flags and word in caps.values.get(option, (word,))
    )


def command(plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
    """With the repository's name for a plan without weights on this disk: to be shown, not to be run."""
    model = plan.weights.first_path or plan.weights.repo
    argv = (
        caps.path,
        "serve",
        model,
        "--served-model-name",
        name,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    return Command(
        argv=(*argv, *arguments(plan.flags, caps)),
        port=port,
        served_name=name,
        env=dict(ENVIRONMENT),
        stop=STOP,
        kind=plan.weights.kind,
        connects=None,  # its workers meet on ports that the kernel chooses
    )
