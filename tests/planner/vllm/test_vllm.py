"""vLLM plans: ranks that divide the heads, KV in bytes, the CPU's own rules; and where vLLM can't run."""

from dataclasses import replace

import pytest

from domain.errors import BadModelError, DoesNotFitError, UsageError
from domain.launches.plan import LLAMA_CPP, VLLM, LaunchOptions, Plan, VllmFlags
from domain.machine.hardware import Gpu, Hardware, InstalledEngine, Stacks
from domain.models.model import Chat, ResolvedModel
from domain.units import GIB, MIB
from planner.choose.choose import plan
from planner.vllm.estimate import estimate
from tests.planner import build
from tests.planner.build import LARGE, SMOL, folder

GGUF = build.candidates("llama-3.1-8b", "Q8_0", "Q4_K_M")
EIGHT_B = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
FP8 = folder(EIGHT_B, 9 * GIB, "fp8", method="fp8")
AWQ = folder(EIGHT_B, 5 * GIB, "awq", method="awq")


def planned(
    model: ResolvedModel,
    machine: Hardware,
    options: LaunchOptions = LaunchOptions(),  # noqa: B008
) -> tuple[Plan, VllmFlags]:
    chosen = plan("a model", (model,), machine, options)
    assert isinstance(chosen.flags, VllmFlags)
    return chosen, chosen.flags


def card(gib: float | None = 24, arch: str | None = "sm_89", **fields: object) -> Gpu:
    return replace(build.gpu(gib, gb_per_s=1008, tflops=165, name="a card"), arch=arch, **fields)  # type: ignore[arg-type]


def engine(name: str, *backends: str, problem: str | None = None) -> InstalledEngine:
    return InstalledEngine(name, f"/usr/bin/{name}", "1", backends, problem)


def test_on_a_cpu_it_is_eager_bfloat16_on_one_rank_with_kv_in_bytes() -> None:
    chosen, flags = planned(folder(SMOL, 269 * MIB), build.SMALL_CPU)
    assert (flags.dtype, flags.enforce_eager, flags.tensor_parallel) == ("bfloat16", True, 1)
    assert (flags.max_model_len, chosen.kv_cache_type) == (8192, "bf16")
    token_bytes = 2 * 30 * 3 * 64 * 2
    assert flags.kv_cache_memory_bytes is not None
    assert 8192 * token_bytes < flags.kv_cache_memory_bytes < 1.3 * 8192 * token_bytes
    assert flags.gpu_memory_utilization is None
    assert chosen.fits


def test_ranks_divide_the_heads() -> None:
    two = build.hardware(*(build.gpu(24, name="same") for _ in range(2)), ram_gib=16)
    with pytest.raises(DoesNotFitError):
        planned(folder({**SMOL, "num_attention_heads": 9}, 36 * GIB), two)


def test_the_share_that_must_be_free_at_the_start_is_derived_from_bytes() -> None:
    """vLLM refuses to start if less than 0.92 of a GPU is free, whatever size of cache it is given."""
    machine = build.hardware(replace(card(), memory_free_bytes=16 * GIB))
    chosen, flags = planned(AWQ, machine)
    assert flags.gpu_memory_utilization is not None
    asked = flags.gpu_memory_utilization * 24 * GIB
    assert chosen.memory[0].needed_bytes <= asked <= 16 * GIB


def test_a_refusal_names_the_context_that_would_fit() -> None:
    with pytest.raises(DoesNotFitError) as refused:
        planned(folder(LARGE, 10 * GIB), build.SMALL_CPU, LaunchOptions(context_tokens=131072))
    assert "--context" in refused.value.hint


def test_a_folder_that_says_nothing_is_refused() -> None:
    with pytest.raises(BadModelError, match="num_attention_heads"):
        planned(folder({"hidden_size": 4}, 1 * GIB), build.SMALL_CPU)


@pytest.mark.parametrize("machine", [build.SMALL_CPU, build.hardware(card()), build.hardware(card(), card())])
def test_the_figures_of_a_plan_are_those_of_its_command(machine: Hardware) -> None:
    chosen, flags = planned(folder(SMOL, 269 * MIB), machine)
    again = estimate(folder(SMOL, 269 * MIB).shape, flags, machine, quant="BF16")
    assert (again.memory, again.speed, again.fits) == (chosen.memory, chosen.speed, True)


@pytest.mark.parametrize(
    ("arch", "model", "engine_chosen", "says"),
    [
        pytest.param("sm_75", FP8, VLLM, "", id="kernels, and float16"),
        pytest.param("sm_61", AWQ, LLAMA_CPP, "need compute capability 7.5", id="a GPU before kernels"),
        pytest.param("sm_120", FP8, VLLM, "", id="kernels for all"),
        pytest.param(None, FP8, LLAMA_CPP, "is not known", id="a GPU of unknown kind"),
    ],
)
def test_many_at_once_are_served_by_vllm_where_its_kernels_run(
    arch: str | None, model: ResolvedModel, engine_chosen: str, says: str
) -> None:
    machine = build.hardware(card(arch=arch))
    chosen = plan("a model", (*GGUF, model), machine, LaunchOptions(parallel=16, context_tokens=4096))
    assert chosen.engine == engine_chosen
    assert any(says in reason for reason in chosen.reasons)


def test_one_sequence_is_served_by_llama_cpp_and_the_price_of_vllm_is_said() -> None:
    chosen = plan("a model", (*GGUF, FP8), build.hardware(card()), LaunchOptions())
    assert chosen.engine == LLAMA_CPP
    other = chosen.alternatives[-1]
    assert other.what == "vllm with fp8"
    assert other.decode_tokens_per_s is not None
    assert "tokens/s" in other.why_not


def test_the_price_of_llama_cpp_is_said_beside_vllm() -> None:
    chosen = plan(
        "a model", (*GGUF, FP8), build.hardware(card()), LaunchOptions(parallel=16, context_tokens=4096)
    )
    assert chosen.alternatives[-1].what == "llama.cpp with Q8_0"
    assert any("16 at once" in reason for reason in chosen.reasons)


@pytest.mark.parametrize(
    ("engines", "stacks", "gpu", "says"),
    [
        pytest.param(
            (engine(LLAMA_CPP, "cuda"),), Stacks(), card(), "vLLM is not installed here", id="not installed"
        ),
        pytest.param(
            (engine(LLAMA_CPP, "cuda"), engine(VLLM, "cpu")),
            Stacks(),
            card(),
            "built for CPUs",
            id="a CPU build",
        ),
        pytest.param(
            (engine(LLAMA_CPP, "cuda"), engine(VLLM, problem="exited 1")),
            Stacks(),
            card(),
            "exited 1",
            id="broken",
        ),
        pytest.param(
            (engine(LLAMA_CPP, "vulkan"), engine(VLLM, "rocm")),
            Stacks(vulkan="1.4"),
            card(arch="gfx1100", vendor="amd"),
            "no ROCm",
            id="Vulkan only",
        ),
        pytest.param(
            (), Stacks(rocm="7.1"), card(arch="gfx1030", vendor="amd"), "no kernels for gfx1030", id="RDNA 2"
        ),
        pytest.param((), Stacks(), card(arch=None, vendor="apple"), "does not run on a card", id="Apple"),
    ],
)
def test_vllm_is_never_chosen_where_it_can_t_be_started(
    engines: tuple[InstalledEngine, ...], stacks: Stacks, gpu: Gpu, says: str
) -> None:
    machine = replace(build.hardware(gpu), engines=engines, stacks=stacks)
    chosen = plan("a model", (*GGUF, FP8), machine, LaunchOptions(parallel=16, context_tokens=4096))
    assert chosen.engine == LLAMA_CPP
    assert any(says in reason for reason in chosen.reasons)


def test_a_cpu_is_left_to_llama_cpp_unless_vllm_is_asked_for_or_alone() -> None:
    small = folder(SMOL, 269 * MIB)
    both = (*build.candidates("qwen3-0.6b", "Q8_0"), small)
    assert plan("a model", both, build.SMALL_CPU, LaunchOptions()).engine == LLAMA_CPP
    assert plan("a model", both, build.SMALL_CPU, LaunchOptions(engine=VLLM)).engine == VLLM
    assert plan("a model", (small,), build.SMALL_CPU, LaunchOptions()).engine == VLLM


def test_an_engine_that_is_asked_for_and_can_t_run_is_refused_with_the_reason() -> None:
    old = build.hardware(card(arch="sm_61"))
    with pytest.raises(UsageError, match=r"awq weights need compute capability 7\.5") as refused:
        plan("a model", (*GGUF, AWQ), old, LaunchOptions(engine=VLLM))
    assert "llama.cpp can" in refused.value.hint


def test_only_sizes_are_known_and_a_plan_says_so() -> None:
    """The catalogue knows how large a repository is, before a header was read."""
    bare = replace(FP8, shape=replace(FP8.shape, tensors=()), exact=False)
    chosen, flags = planned(bare, build.hardware(card()))
    assert chosen.memory[0].weights_bytes == 9 * GIB
    assert "no header could be read" in " ".join(estimate(bare.shape, flags, build.hardware(card())).notes)


def test_weights_without_kernels_on_this_gpu_are_passed_over() -> None:
    machine = build.hardware(card(arch="sm_75"))
    native = replace(folder(SMOL, 2 * GIB, "mxfp4"), compute_capability=8.0)
    smaller = replace(folder(SMOL, 1 * GIB, "awq"), compute_capability=7.5)
    assert plan("m", (native, smaller), machine, LaunchOptions()).weights == smaller.weights
    with pytest.raises(UsageError, match=r"mxfp4 weights need compute capability 8.0, a card has 7.5"):
        plan("m", (native,), machine, LaunchOptions())
    assert plan("m", (native,), build.hardware(card(arch=None)), LaunchOptions()).weights == native.weights
    assert (
        plan("m", (native,), build.hardware(card(arch="sm_121")), LaunchOptions()).weights == native.weights
    )


def test_a_gpu_without_bfloat16_serves_such_weights_as_float16() -> None:
    dtypes = [planned(AWQ, build.hardware(card(arch=arch)))[1].dtype for arch in ("sm_75", "sm_86")]
    assert dtypes == ["float16", "auto"]


def test_what_the_catalogue_says_of_chats_reaches_the_flags() -> None:
    chat = Chat(tool_call_parser="hermes", reasoning_parser="qwen3")
    flags = planned(replace(folder(SMOL, 269 * MIB), chat=chat), build.SMALL_CPU)[1]
    assert (flags.tool_call_parser, flags.auto_tool_choice, flags.reasoning_parser) == (
        "hermes",
        True,
        "qwen3",
    )
    plain = planned(folder(SMOL, 269 * MIB), build.SMALL_CPU)[1]
    assert (plain.tool_call_parser, plain.auto_tool_choice, plain.reasoning_parser) == (None, False, None)


def test_mistral_s_own_format_is_named_for_vllm() -> None:
    plain = folder(SMOL, 269 * MIB)
    metadata = {**plain.shape.metadata, "general.config_format": "mistral"}
    for machine in (build.SMALL_CPU, build.hardware(card())):
        own = planned(replace(plain, shape=replace(plain.shape, metadata=metadata)), machine)[1]
        assert (own.config_format, own.load_format, own.tokenizer_mode) == ("mistral",) * 3
        assert planned(plain, machine)[1].config_format is None


@pytest.mark.parametrize(("quant", "runs"), [("awq", True), ("fp8", True), ("mxfp4", True), ("nvfp4", False)])
def test_a_cpu_has_kernels_for_some_weights(quant: str, runs: bool) -> None:
    model = folder(SMOL, 269 * MIB, quant, method=quant if runs else None)
    if runs:
        assert planned(model, build.SMALL_CPU)[0].engine == VLLM
        return
    with pytest.raises(UsageError, match="no nvfp4 kernel for CPUs"):
        planned(model, build.SMALL_CPU)


def test_a_folder_that_says_nothing_takes_no_plan_from_llama_cpp() -> None:
    chosen = plan("m", (*GGUF, folder({"hidden_size": 4}, 1 * GIB)), build.hardware(card()), LaunchOptions())
    assert chosen.engine == LLAMA_CPP
    assert any("config.json has no" in reason for reason in chosen.reasons)
