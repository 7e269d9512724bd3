"""What makes a command line faster or slower, and what is not predicted."""

from dataclasses import replace

import pytest

from catalog.synthetic.header import shape_of
from config.data import catalogue
from domain.launches.plan import LlamaFlags, Range
from domain.machine.hardware import BandwidthSource, Gpu, Hardware, InstalledEngine, Memory, MemoryKind
from domain.models.catalogue_types import KnownQuant
from domain.models.model import ModelShape
from domain.units import GIB
from planner.llama_cpp.estimate import estimate
from tests.planner import build

MOE = build.shape("qwen3-30b-a3b", "Q4_K_M")
DENSE = build.shape("qwen3-32b", "Q4_K_M")
LINE = LlamaFlags(gpu_layers=999, context_tokens=40960, parallel=1)


def decode(shape: ModelShape, flags: LlamaFlags, machine: Hardware, depth: int = 0) -> float:
    return not_none(estimate(shape, flags, machine, depth_tokens=depth).speed.decode_tokens_per_s).expected


def prefill(shape: ModelShape, flags: LlamaFlags, machine: Hardware, depth: int = 0) -> float:
    return not_none(estimate(shape, flags, machine, depth_tokens=depth).speed.prefill_tokens_per_s).expected


def not_none(predicted: Range | None) -> Range:
    assert predicted is not None
    return predicted


def smollm2(quant: str, size_bytes: int) -> ModelShape:
    return shape_of(catalogue()["smollm2-135m"], KnownQuant("", quant, size_bytes))


@pytest.mark.parametrize(
    ("threads", "least", "most"),
    [
        pytest.param(2, 115, 150, id="133 tok/s were measured with two threads"),
        pytest.param(1, 60, 90, id="60 to 90 with one"),
    ],
)
def test_a_tiny_model_is_bound_by_cores_and_barriers(threads: int, least: float, most: float) -> None:
    """SmolLM2-135M Q4_1, llama.cpp b10068 on two virtual cores of an EPYC with AVX2, whose RAM was
    measured at 21 GB/s."""
    memory = Memory(bandwidth_bytes_per_s=21e9, bandwidth_source=BandwidthSource.MEASURED)
    machine = replace(build.SMALL_CPU, memory=memory)
    predicted = decode(smollm2("Q4_1", 98_362_432), replace(LINE, gpu_layers=0, threads=threads), machine)
    assert least < predicted < most


def test_a_token_reads_the_experts_it_uses_and_not_all() -> None:
    assert decode(MOE, LINE, build.CARD_24) > 4 * decode(DENSE, LINE, build.CARD_24)


def test_depth_costs_decode_and_prefill() -> None:
    assert decode(MOE, LINE, build.CARD_24, 32768) < 0.8 * decode(MOE, LINE, build.CARD_24)
    assert prefill(MOE, LINE, build.CARD_24, 32768) < 0.8 * prefill(MOE, LINE, build.CARD_24)


def test_a_window_bounds_what_depth_costs() -> None:
    gemma = build.shape("gemma-3-12b", "Q4_K_M")
    assert decode(gemma, LINE, build.CARD_24, 32768) > 0.6 * decode(gemma, LINE, build.CARD_24)


def test_experts_on_the_host_slow_decode_by_their_share() -> None:
    speeds = [decode(MOE, replace(LINE, n_cpu_moe=count), build.CARD_24) for count in (0, 12, 24, 48)]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] > 1.2 * decode(MOE, replace(LINE, gpu_layers=0), build.CARD_24)


def test_a_larger_batch_pays_where_experts_are_pulled_over_the_link() -> None:
    flags = replace(LINE, n_cpu_moe=48, batch=4096)
    few, many = (prefill(MOE, replace(flags, ubatch=size), build.CARD_24) for size in (512, 4096))
    assert many > 3 * few
    assert prefill(MOE, replace(LINE, ubatch=4096, batch=4096), build.CARD_24) < 2 * prefill(
        MOE, LINE, build.CARD_24
    )


def test_codebook_types_cost_a_core_more_than_their_bytes_save() -> None:
    flags = replace(LINE, gpu_layers=0, threads=4)
    model = catalogue()["qwen3-8b"]
    plain = shape_of(model, KnownQuant("", "Q4_0", 4_700_000_000))
    codebook = shape_of(model, KnownQuant("", "IQ3_XXS", 3_300_000_000))
    machine = build.hardware(ram_gib=32, gb_per_s=38.4, cores=4)
    assert decode(codebook, flags, machine) < decode(plain, flags, machine)


def test_unknown_bandwidth_gives_no_speed() -> None:
    blind = build.hardware(build.gpu(24, gb_per_s=None), gb_per_s=None)
    speed = estimate(MOE, LINE, blind).speed
    assert speed.decode_tokens_per_s is None
    assert speed.prefill_tokens_per_s is None


def test_an_unknown_rate_of_arithmetic_is_taken_from_the_kind_of_the_gpu() -> None:
    apple = build.hardware(build.gpu(96, MemoryKind.UNIFIED, gb_per_s=800, tflops=None, vendor="apple"))
    predicted = not_none(estimate(MOE, LINE, apple).speed.prefill_tokens_per_s)
    assert 500 < predicted.expected < 4000


@pytest.mark.parametrize(
    ("driver", "build", "is_slower"),
    [
        pytest.param("RADV", "b9187", False, id="RADV"),
        pytest.param("AMDVLK", "b9187", True, id="AMDVLK"),
        pytest.param("AMDVLK", "b6122", False, id="AMDVLK before its tiles were cut"),
        pytest.param("AMDVLK", None, True, id="a build that is not known is one of today"),
    ],
)
def test_a_driver_with_small_tiles_is_slow_at_prompts(
    driver: str, build: str | None, is_slower: bool
) -> None:
    engine = InstalledEngine("llama.cpp", "llama-server", build, ("vulkan",))
    plain, predicted = (
        prefill(DENSE, LINE, replace(radeon(name), engines=(engine,))) for name in (None, driver)
    )
    assert (predicted < 0.6 * plain) is is_slower


def radeon(driver: str | None) -> Hardware:
    return build.hardware(replace(build.gpu(32, MemoryKind.UNIFIED, vendor="amd"), driver=driver))


def test_cores_on_a_ring_reach_more_of_the_ram() -> None:
    flags = replace(LINE, gpu_layers=0, threads=16)
    ring, fabric, mesh = (
        decode(DENSE, flags, replace(build.CARD_24, cpu=replace(build.CARD_24.cpu, model=name)))
        for name in ("Intel(R) Core(TM) Ultra 7 265K", "AMD Ryzen 9 7950X 16-Core Processor", "i9-10900X")
    )
    assert ring > 1.2 * fabric
    assert mesh == fabric


@pytest.mark.parametrize(
    ("isa", "is_slower"),
    [
        pytest.param(("avx2",), True, id="AVX2 alone"),
        pytest.param(("avx2", "avx512_vnni"), False, id="with VNNI"),
        pytest.param((), False, id="not known"),
    ],
)
def test_prompts_on_cores_without_a_dot_product_take_longer(isa: tuple[str, ...], is_slower: bool) -> None:
    flags = replace(LINE, gpu_layers=0, threads=8)
    plain, predicted = (
        prefill(DENSE, flags, replace(build.N100, cpu=replace(build.N100.cpu, isa=names)))
        for names in (("avx_vnni",), isa)
    )
    assert (predicted < 0.7 * plain) is is_slower


def test_arm_boards_reach_less_of_their_memory_and_arithmetic() -> None:
    """An Orion O6, with the peak of its LPDDR5 as its bandwidth, against a desktop with as much."""
    flags, host = replace(LINE, gpu_layers=0, threads=16), build.hardware(cores=16)
    board, mac, desktop = (
        replace(host, cpu=replace(host.cpu, isa=isa, model=name))
        for isa, name in (
            (("asimddp", "i8mm"), "Cix P1 CP8180"),
            (("asimddp", "i8mm"), "Apple M4"),
            (("avx_vnni",), "AMD Ryzen 7"),
        )
    )
    for speed in (decode, prefill):
        assert speed(DENSE, flags, board) < 0.75 * speed(DENSE, flags, desktop)
        assert speed(DENSE, flags, mac) == speed(DENSE, flags, desktop)


def vulkan(gpu: Gpu) -> Hardware:
    engine = InstalledEngine("llama.cpp", "llama-server", "b11434", ("vulkan",))
    return replace(build.hardware(gpu), engines=(engine,))


def test_vulkan_on_a_geforce_is_no_radeon() -> None:
    """Which has matrix cores that Vulkan uses whole: 20,323 tokens/s of llama-3.2-3b on an RTX 4090."""
    geforce = build.gpu(24, name="NVIDIA GeForce RTX 4090")
    radeon_9070 = replace(build.gpu(24, vendor="amd"), arch="gfx1201")
    assert prefill(DENSE, LINE, vulkan(geforce)) > 3 * prefill(DENSE, LINE, vulkan(radeon_9070))


def test_bf16_under_vulkan_is_slow_where_the_device_lacks_it() -> None:
    f16 = build.shape("qwen3-0.6b", "F16")
    bf16 = replace(
        f16, tensors=tuple(t._replace(type="BF16" if t.type == "F16" else t.type) for t in f16.tensors)
    )
    for arch, is_slow in (("gfx1201", False), ("gfx1030", True)):
        radeon_card = vulkan(replace(build.gpu(16, vendor="amd"), arch=arch))
        assert (decode(bf16, LINE, radeon_card) < 0.8 * decode(f16, LINE, radeon_card)) is is_slow


def test_a_workstation_card_multiplies_quantized_weights_no_faster_than_a_geforce() -> None:
    """The same chip, whose FP16 rate is listed with FP32 sums at full and at half speed."""
    geforce = build.gpu(24, name="NVIDIA GeForce RTX 4090", tflops=165)
    workstation = build.gpu(24, name="NVIDIA RTX 6000 Ada Generation", tflops=330)
    assert prefill(DENSE, LINE, build.hardware(geforce)) == prefill(DENSE, LINE, build.hardware(workstation))


def test_recurrent_layers_launch_more_kernels() -> None:
    """24 of Qwen3.5 4B's 32 layers are recurrent, each some 50 us slower than its tensors on a quick card."""
    model, dense = build.published("qwen3.5-4b"), build.published("qwen3-8b")
    card = build.hardware(build.gpu(24, gb_per_s=1e6, tflops=1e6))
    recurrent_s, dense_s = (1 / decode(shape, LINE, card) for shape in (model, dense))
    assert 24 * 20e-6 < recurrent_s - dense_s < 24 * 100e-6


def test_a_chip_with_little_arithmetic_unpacks_slowly() -> None:
    """Q4_K on an M1 Max, whose 10.4 TFLOPS go with the 400 GB/s of an M2 Max; F16 is not unpacked."""
    apple = replace(build.gpu(64, MemoryKind.UNIFIED, gb_per_s=400, vendor="apple"), fp16_flops_per_s=13.6e12)
    weak, usual = (build.hardware(replace(apple, fp16_flops_per_s=rate)) for rate in (10.4e12, 13.6e12))
    assert decode(DENSE, LINE, weak) < 0.85 * decode(DENSE, LINE, usual)
    plain = build.shape("qwen3-0.6b", "F16")
    assert decode(plain, LINE, weak) == pytest.approx(decode(plain, LINE, usual), rel=0.01)


def test_room_for_saved_prompts_makes_no_model_one_that_is_read_from_the_disk() -> None:
    """llama-server may keep 8 GiB of prompts; a fresh one keeps none, and its weights are in memory."""
    tight = replace(
        build.CARD_24, memory=Memory(32 * GIB, 22 * GIB, bandwidth_bytes_per_s=60e9), storage=None
    )
    flags = replace(LINE, gpu_layers=0, threads=8, context_tokens=4096)
    few, many = (estimate(DENSE, replace(flags, cache_ram_mib=size), tight).speed for size in (0, 8192))
    assert not_none(few.decode_tokens_per_s) == not_none(many.decode_tokens_per_s)
