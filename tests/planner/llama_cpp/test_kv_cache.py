"""The KV cache and what is kept beside it, in bytes that are worked out by hand from the models' headers."""

import pytest

from domain.models.ggml import BY_NAME
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp import context_params
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.memory import host_memory, kv_cache
from planner.llama_cpp.placement import place_tensors
from planner.machine.devices import visible_devices
from planner.model.hparams import Hparams, read_hparams
from tests.planner import build

# 48 layers, every sixth over the whole context, the others over a window of 1024; 8 KV heads of 256 values
GEMMA = build.shape("gemma-3-12b", "Q4_K_M")
GEMMA_CELL = 2 * 8 * 256 * 2  # K and V, F16
# 32 layers, 8 KV heads of 128 values, no window
LLAMA = build.shape("llama-3.1-8b", "Q4_K_M")
LLAMA_CELL = 2 * 8 * 128 * 2


def resolved(shape: ModelShape, args: str, build_number: int | None = None) -> tuple[Hparams, ContextParams]:
    hparams = read_hparams(shape)
    return hparams, context_params.resolve(parse(args.split()), hparams, build=build_number)


def total(shape: ModelShape, args: str, build_number: int | None = None) -> int:
    hparams, cparams = resolved(shape, args, build_number)
    return sum(kv_cache.layer_bytes(layer, hparams, cparams) for layer in hparams.layers)


@pytest.mark.parametrize(
    ("args", "window_cells"),
    [
        pytest.param("-c 32768 -np 1", 1024 + 512, id="the window and a ubatch"),
        pytest.param("-c 32768 -np 1 -ub 1024", 1024 + 1024, id="a larger ubatch"),
        pytest.param("-c 32768 -np 1 -ub 600", 1792, id="padded to 256 cells"),
        pytest.param("-c 1024 -np 1", 1024, id="no more than the context"),
        pytest.param("-c 32768 -np 1 --swa-full", 32768, id="the whole context if asked for"),
        pytest.param("-c 32768 -np 4", 4 * 1536, id="each of four sequences"),
        pytest.param("-c 32768 -np 4 -kvu", 4 * 1024 + 512, id="four sequences that share a cache"),
    ],
)
def test_a_window_keeps_cells_for_itself_and_one_ubatch(args: str, window_cells: int) -> None:
    context = int(args.split()[1])
    assert total(GEMMA, args) == GEMMA_CELL * (8 * context + 40 * window_cells)


@pytest.mark.parametrize(
    ("types", "cell_bytes"),
    [
        ("-ctk f16 -ctv f16", LLAMA_CELL),
        ("-ctk q8_0 -ctv q8_0", 2 * 1024 // 32 * 34),
        ("-ctk q8_0 -ctv f16", 1024 // 32 * 34 + 1024 * 2),
        ("-ctk q4_0 -ctv q8_0", 1024 // 32 * 18 + 1024 // 32 * 34),
    ],
)
def test_a_cell_has_a_row_of_keys_and_one_of_values_in_their_types(types: str, cell_bytes: int) -> None:
    assert total(LLAMA, f"-c 4096 -np 1 -fa on {types}") == 32 * 4096 * cell_bytes


def test_a_row_that_no_block_divides_takes_the_last_block_whole() -> None:
    assert kv_cache._row_bytes(BY_NAME["Q8_0"], 33) == 2 * 34


def test_latent_attention_keeps_keys_alone() -> None:
    """27 layers of 512 latent values and 64 rotated ones."""
    assert total(build.shape("deepseek-v2-lite", "Q4_K_M"), "-c 4096 -np 1") == 27 * 4096 * (512 + 64) * 2


def test_without_flash_attention_values_are_as_wide_as_those_of_the_widest_layer() -> None:
    """25 windows with 2048 values a cell, 5 layers over the whole context with 1024: V is transposed."""
    gemma_4 = build.published("gemma-4-26b-a4b")
    window_cells, context = 1536, 16384
    args = f"-c {context} -np 1"
    assert total(gemma_4, args) == 2 * (25 * window_cells * 2 * 2048 + 5 * context * 2 * 1024)
    padded = 2 * (25 * window_cells * 2 * 2048 + 5 * context * (1024 + 2048))
    assert total(gemma_4, f"{args} -fa off") == padded


def state_bytes(hparams: Hparams) -> int:
    """Of one layer and sequence: a convolution's inputs but the newest, and the state, in F32."""
    ssm = hparams.ssm
    conv_values = (ssm.conv_kernel - 1) * (ssm.inner_size + 2 * ssm.group_count * ssm.state_size)
    return 4 * (conv_values + ssm.state_size * ssm.inner_size)


def test_a_recurrent_layer_keeps_one_state_for_each_sequence_and_no_cells() -> None:
    """36 of 40 layers are recurrent, the others have 8 KV heads of 64 values."""
    granite = build.published("granite-4-h-micro")
    one, four = state_bytes(read_hparams(granite)) * 36, state_bytes(read_hparams(granite)) * 36 * 4
    cells = 4 * 2 * 8 * 64 * 2
    assert total(granite, "-c 16384 -np 1") == 16384 * cells + one
    assert total(granite, "-c 16384 -np 4") == 16384 * cells + four


def per_device(shape: ModelShape, args: str, build_number: int | None = None) -> dict[int, int]:
    hparams, cparams = resolved(shape, args, build_number)
    devices = visible_devices(build.assumed_gpus(2), parse(args.split()))
    return kv_cache.bytes_per_device(
        hparams, cparams, place_tensors(shape, hparams, parse(args.split()), devices)
    )


def test_each_layer_s_cache_is_where_the_layer_is_or_all_on_the_host() -> None:
    layer = 4096 * LLAMA_CELL
    assert per_device(LLAMA, "-ngl 999 -c 4096 -np 1 -ts 3,1") == {-1: 0, 0: 25 * layer, 1: 7 * layer}
    assert per_device(LLAMA, "-ngl 11 -c 4096 -np 1 -ts 1,0") == {-1: 22 * layer, 0: 10 * layer, 1: 0}
    assert per_device(LLAMA, "-ngl 999 -c 4096 -np 1 -nkvo") == {-1: 32 * layer, 0: 0, 1: 0}


def test_an_old_build_has_cells_for_layers_that_predict_several_tokens() -> None:
    glm = build.published("glm-4.5-air")  # 46 layers and such a one; 8 KV heads of 128 values
    args, cells = "-ngl 0 -c 4096 -np 1", 4096 * 2 * 8 * 128 * 2
    assert sum(per_device(glm, args, 10068).values()) == 47 * cells
    assert sum(per_device(glm, args, 11434).values()) == 46 * cells
    windows = build.published("k-exaone-236b")  # such a layer in a model with windows has none
    assert per_device(windows, args, 10068) == per_device(windows, args, 11434)


def test_a_token_reads_what_it_sees() -> None:
    hparams, cparams = resolved(GEMMA, "-c 32768 -np 1")
    window, full = hparams.layers[0], hparams.layers[5]
    assert [kv_cache.read_bytes(window, hparams, cparams, depth) for depth in (100, 30000)] == [
        100 * GEMMA_CELL,
        1024 * GEMMA_CELL,
    ]
    assert kv_cache.read_bytes(full, hparams, cparams, 30000) == 30000 * GEMMA_CELL
    hybrid = read_hparams(build.published("granite-4-h-micro"))
    assert kv_cache.read_bytes(hybrid.layers[0], hybrid, cparams, 30000) == state_bytes(hybrid)


def test_a_saved_prompt_is_a_full_sequence() -> None:
    hparams, cparams = resolved(GEMMA, "-c 32768 -np 1")
    assert kv_cache.sequence_bytes(hparams, cparams) == GEMMA_CELL * (8 * 32768 + 40 * 1536)
    shared = resolved(GEMMA, "-c 2048 -np 4 -kvu")[1]
    assert kv_cache.sequence_bytes(hparams, shared) == GEMMA_CELL * 48 * 2048, "no more than the context"
    hybrid = resolved(build.published("granite-4-h-micro"), "-c 16384 -np 1")
    assert kv_cache.sequence_bytes(*hybrid) == 16384 * 4 * 2 * 8 * 64 * 2 + 36 * state_bytes(hybrid[0])


@pytest.mark.parametrize(
    ("args", "cells"),
    [
        pytest.param("-c 32768 -np 1", 1024, id="the window, not the ubatch beside it"),
        pytest.param("-c 512 -np 1", 512, id="no more than the context"),
        pytest.param("-c 32768 -np 1 --swa-full", 0, id="a full cache can be rolled back"),
    ],
)
def test_a_checkpoint_of_a_model_with_windows_has_their_cells(args: str, cells: int) -> None:
    assert kv_cache.checkpoint_bytes(*resolved(GEMMA, args)) == 40 * cells * GEMMA_CELL


def test_a_checkpoint_of_a_model_with_states_has_them_and_no_cells() -> None:
    granite = resolved(build.published("granite-4-h-micro"), "-c 16384 -np 1")
    assert kv_cache.checkpoint_bytes(*granite) == 36 * state_bytes(granite[0])
    both = resolved(build.published("falcon-h1-7b"), "-c 16384 -np 1")  # a state beside each attention
    assert kv_cache.checkpoint_bytes(*both) == sum(map(kv_cache.state_bytes, both[0].layers)) > MIB


def test_a_model_without_windows_and_states_needs_no_checkpoint() -> None:
    assert kv_cache.checkpoint_bytes(*resolved(LLAMA, "-c 32768 -np 1")) == 0


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ("-c 32768 -np 1", 6),
        ("-c 32768 -np 4", 3),
        ("-c 8000 -np 1", 3),
        ("-c 7936 -np 1", 2),
        ("-c 1048576 -np 1", 32),
        ("-c 32768 -np 1 -ctxcp 2", 2),
        ("-c 32768 -np 1 -ctxcp 0", 0),
    ],
)
def test_a_slot_keeps_a_checkpoint_for_each_8192_tokens_and_two_more(args: str, count: int) -> None:
    hparams, cparams = resolved(GEMMA, args)
    assert host_memory.checkpoint_count(hparams, cparams, parse(args.split())) == count
    assert host_memory.checkpoint_count(*resolved(LLAMA, args), parse(args.split())) == 0
