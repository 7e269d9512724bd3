"""Every flag of a candidate, and why it is what it is."""

from dataclasses import replace

import pytest

from domain.launches.plan import VLLM, DeviceMemory, LaunchOptions, LlamaFlags, VllmFlags
from domain.machine.hardware import Hardware
from domain.models.model import Chat, ModelShape
from domain.units import GIB, MIB
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.llama_cpp import context_params, search
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.memory import kv_cache
from planner.machine.budget import DEFAULT_RESERVE, Reserve
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.model.hparams import read_hparams
from tests.planner import build

(LLAMA,) = build.candidates("llama-3.1-8b", "Q4_K_M")
(GEMMA,) = build.candidates("gemma-3-12b", "Q4_K_M")
(MOE,) = build.candidates("qwen3-30b-a3b", "Q4_K_M")
(OSS,) = build.candidates("gpt-oss-120b", "MXFP4")
(TINY,) = build.candidates("qwen3-0.6b", "Q8_0")


def context(machine: Hardware, options: LaunchOptions | None = None, **more: object) -> SearchContext:
    values: dict[str, object] = {"calibration": UNCALIBRATED, "reserve": DEFAULT_RESERVE, **more}
    return SearchContext(machine, options or LaunchOptions(), **values)  # type: ignore[arg-type]


def flags_of(candidate: Candidate) -> LlamaFlags:
    assert isinstance(candidate.flags, LlamaFlags)
    return candidate.flags


def test_every_flag_of_a_model_that_one_gpu_holds() -> None:
    (found,) = search.find_candidates(LLAMA, 8192, context(build.CARD_24, LaunchOptions(parallel=2)))
    assert flags_of(found) == LlamaFlags(
        gpu_layers=ALL_LAYERS,
        split_mode="none",
        main_gpu=0,
        context_tokens=16384,
        parallel=2,
        kv_unified=False,
        cache_type_k="f16",
        cache_type_v="f16",
        flash_attention="auto",
        batch=2048,
        ubatch=512,
        threads=4,
        threads_batch=flags_of(found).threads_batch,
        cache_ram_mib=4096,
        ctx_checkpoints=0,
        load_mode="mmap",
        fit=False,
        jinja=True,
    )
    assert (found.context_tokens, found.parallel, found.cache_type) == (8192, 2, "f16")
    assert (found.is_offloaded, found.has_host_weights) == (True, False)


@pytest.mark.parametrize(("cache_type", "flash_attention"), [("f16", "auto"), ("q8_0", "on"), ("q4_0", "on")])
def test_only_a_quantized_cache_demands_flash_attention(cache_type: str, flash_attention: str) -> None:
    flags = search.with_cache_type(LlamaFlags(), cache_type)
    assert (flags.cache_type_k, flags.cache_type_v) == (cache_type, cache_type)
    assert flags.flash_attention == flash_attention


@pytest.mark.parametrize(
    ("model", "machine", "cache_types"),
    [
        pytest.param(LLAMA, build.CARD_24, ["f16"], id="all on the GPU: a smaller cache gains nothing"),
        pytest.param(LLAMA, build.SMALL_CPU, ["f16"], id="no GPU: neither"),
        pytest.param(OSS, build.CARD_24, ["f16", "q8_0"], id="a part on the host: both are compared"),
        pytest.param(LLAMA, build.hardware(ram_gib=8, available_gib=7.7), ["q8_0"], id="only the small one"),
        pytest.param(LLAMA, build.hardware(ram_gib=4), [], id="none fits"),
    ],
)
def test_a_smaller_cache_is_tried_where_it_can_gain(
    model: object, machine: Hardware, cache_types: list[str]
) -> None:
    found = search.find_candidates(model, 16384, context(machine))  # type: ignore[arg-type]
    assert [candidate.cache_type for candidate in found] == cache_types


def test_memory_of_unknown_size_holds_everything() -> None:
    blind = replace(
        build.SMALL_CPU, memory=replace(build.SMALL_CPU.memory, available_bytes=None, total_bytes=None)
    )
    (found,) = search.find_candidates(OSS, 8192, context(blind))
    assert found.estimate.fits
    assert flags_of(found).cache_ram_mib == 0, "no room that is known for a prompt cache"


def test_words_of_the_catalogue_about_chats_reach_every_batch() -> None:
    chatty = replace(OSS, chat=Chat(jinja=False, reasoning_format="auto"))
    machine = context(build.CARD_24)
    found = search.find_candidates(chatty, 8192, machine)[0]
    larger = search.with_ubatch(found, 2048, machine)
    assert larger is not None
    for flags in (flags_of(found), flags_of(larger)):
        assert (flags.jinja, flags.reasoning_format) == (False, "auto")
    assert (flags_of(larger).ubatch, flags_of(larger).cache_type_k) == (2048, flags_of(found).cache_type_k)


@pytest.mark.parametrize(
    ("shape", "tokens", "checkpoints"),
    [
        pytest.param(GEMMA.shape, 32768, 6, id="windows: one for each 8192 tokens and two more"),
        pytest.param(GEMMA.shape, 4096, 2, id="a short context"),
        pytest.param(GEMMA.shape, 1048576, 32, id="no more than the engine keeps"),
        pytest.param(build.published("granite-4-h-micro"), 16384, 4, id="recurrent states"),
        pytest.param(LLAMA.shape, 32768, 0, id="neither: none"),
    ],
)
def test_checkpoints_reach_back_to_any_turn_of_a_chat(
    shape: ModelShape, tokens: int, checkpoints: int
) -> None:
    flags = LlamaFlags(context_tokens=tokens, parallel=1, kv_unified=False, ctx_checkpoints=0)
    assert search.with_checkpoints(read_hparams(shape), flags).ctx_checkpoints == checkpoints


def test_each_sequence_of_several_has_checkpoints_for_its_own_context() -> None:
    flags = LlamaFlags(context_tokens=65536, parallel=4, kv_unified=False, ctx_checkpoints=0)
    assert search.with_checkpoints(read_hparams(GEMMA.shape), flags).ctx_checkpoints == 16384 // 8192 + 2


def cache_ram_mib(model: object, machine: Hardware, tokens: int, **more: object) -> int:
    found = search.find_candidates(model, tokens, context(machine, **more))[0]  # type: ignore[arg-type]
    cache = flags_of(found).cache_ram_mib
    assert cache is not None
    return cache


def test_the_prompt_cache_holds_four_full_contexts() -> None:
    assert cache_ram_mib(LLAMA, build.CARD_24, 8192) == 4 * 1024
    assert cache_ram_mib(LLAMA, build.CARD_24, 32768) == 8192, "no more than the engine's default"


def test_the_prompt_cache_holds_the_checkpoints_of_its_contexts() -> None:
    hparams = read_hparams(GEMMA.shape)
    flags = search.base_flags("f16", 4096, context(build.CARD_24))
    cparams = context_params.resolve(flags, hparams)
    one = kv_cache.sequence_bytes(hparams, cparams) + 2 * kv_cache.checkpoint_bytes(hparams, cparams)
    assert cache_ram_mib(GEMMA, build.CARD_24, 4096) == 4 * one // MIB


def test_the_prompt_cache_takes_a_quarter_of_the_ram_that_stays_free() -> None:
    reserve = Reserve(host_bytes=2 * GIB)
    machine = build.hardware(ram_gib=12, available_gib=11)
    found = search.find_candidates(LLAMA, 8192, context(machine, reserve=reserve))[0]
    flags = flags_of(found)
    host = found.estimate.memory[-1]
    assert host.free_bytes is not None
    without_cache = host.needed_bytes - (flags.cache_ram_mib or 0) * MIB
    assert flags.cache_ram_mib == (host.free_bytes - without_cache - 2 * GIB) // 4 // MIB
    assert flags.cache_ram_mib


HOST_ROW = DeviceMemory("host", 4 * GIB, GIB, GIB, GIB, 7 * GIB, 32 * GIB)


def load_mode(
    machine: Hardware, host: DeviceMemory = HOST_ROW, *, gpu_bytes: int = 0, layers: int = 0
) -> str:
    gpus = [DeviceMemory(f"GPU{number}", gpu_bytes, 0, 0) for number in range(len(machine.gpus))]
    return search._load_mode([*gpus, host], LlamaFlags(gpu_layers=layers), context(machine))


def may_lock(limit_bytes: int | None, *, machine: Hardware | None = None) -> Hardware:
    machine = machine or build.hardware()
    return replace(machine, memory=replace(machine.memory, memlock_limit_bytes=limit_bytes))


@pytest.mark.parametrize(
    ("machine", "free_bytes", "mode"),
    [
        pytest.param(build.hardware(memlock=True), 32 * GIB, "mmap+mlock", id="no limit"),
        pytest.param(may_lock(4 * GIB), 32 * GIB, "mmap+mlock", id="a limit of just the weights"),
        pytest.param(may_lock(4 * GIB - 1), 32 * GIB, "mmap", id="a limit below the weights"),
        pytest.param(may_lock(None), 32 * GIB, "mmap", id="an unknown limit"),
        pytest.param(build.hardware(memlock=True), None, "mmap", id="unknown free RAM"),
        pytest.param(
            build.hardware(memlock=True), 9 * GIB, "mmap", id="RAM without room: 7 GiB and a seventh, and 1"
        ),
        pytest.param(
            build.hardware(memlock=True), int(9.1 * GIB), "mmap+mlock", id="RAM with just enough room"
        ),
    ],
)
def test_weights_are_locked_where_the_limit_and_the_ram_have_room(
    machine: Hardware, free_bytes: int | None, mode: str
) -> None:
    assert load_mode(machine, replace(HOST_ROW, free_bytes=free_bytes)) == mode


def test_weights_that_a_gpu_holds_are_not_locked_in_ram() -> None:
    card = build.hardware(build.gpu(24), memlock=True)
    assert load_mode(card, gpu_bytes=GIB, layers=ALL_LAYERS) == "mmap"
    assert load_mode(card, gpu_bytes=GIB, layers=12) == "mmap+mlock"


def test_weights_for_a_gpu_that_shares_the_ram_are_read_and_not_mapped() -> None:
    assert load_mode(build.GB10, gpu_bytes=GIB, layers=ALL_LAYERS) == "none"
    assert load_mode(build.GB10, gpu_bytes=0) == "mmap", "the GPU is not used"
    both = build.hardware(build.gpu(24), *build.STRIX_HALO.gpus)
    assert load_mode(both, gpu_bytes=GIB, layers=ALL_LAYERS) == "none"


def test_flags_of_another_engine_are_a_bug() -> None:
    found = search.find_candidates(TINY, 4096, context(build.SMALL_CPU))[0]
    other = replace(found, flags=VllmFlags(), model=replace(TINY, engine=VLLM))
    with pytest.raises(TypeError, match="vllm flags"):
        search.llama_flags(other)


def test_experts_on_the_cpu_are_weights_of_the_host() -> None:
    found = search.find_candidates(MOE, 8192, context(build.CARD_9))[0]
    assert flags_of(found).gpu_layers == ALL_LAYERS
    assert flags_of(found).n_cpu_moe
    assert (found.is_offloaded, found.has_host_weights) == (False, True)
    on_cpu = search.find_candidates(TINY, 4096, context(build.SMALL_CPU))[0]
    assert (on_cpu.is_offloaded, on_cpu.has_host_weights) == (False, False)


def test_threads_are_the_owner_s_for_both_phases() -> None:
    machine = context(build.SMALL_CPU, LaunchOptions(threads=7), calibration=Calibration(threads=1))
    flags = flags_of(search.find_candidates(TINY, 4096, machine)[0])
    assert (flags.threads, flags.threads_batch) == (7, 7)
    measured = context(build.SMALL_CPU, calibration=Calibration(threads=1))
    assert flags_of(search.find_candidates(TINY, 4096, measured)[0]).threads == 1


def test_from_the_disk_weights_are_mapped_and_not_repacked_and_need_no_room() -> None:
    machine = context(build.hardware(ram_gib=16, memlock=True), from_disk=True)
    flags = flags_of(search.find_candidates(OSS, 8192, machine)[0])
    assert (flags.load_mode, flags.repack) == ("mmap", False)
    assert search.find_candidates(OSS, 8192, context(build.hardware(ram_gib=16, memlock=True))) == ()
    in_memory = flags_of(search.find_candidates(TINY, 4096, context(build.hardware(memlock=True)))[0])
    assert (in_memory.load_mode, in_memory.repack) == ("mmap+mlock", True)
