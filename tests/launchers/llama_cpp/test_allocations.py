"""What a started engine says that it has allocated, by logs of real starts."""

import pytest

from domain.units import MIB
from launchers.llama_cpp import allocations
from tests.launchers.llama_cpp.test_dry_run import captured


def test_the_memory_of_a_started_engine_is_read_from_its_log() -> None:
    usages = {usage.name: usage for usage in allocations.parse(captured("start-rpc.log"))}
    assert list(usages) == ["CPU", "RPC0[127.0.0.1:15151]", "RPC0[127.0.0.1:15152]"]
    device = usages["RPC0[127.0.0.1:15151]"]
    assert device.is_device
    assert device.model_bytes == int(50.73 * MIB)
    assert device.context_bytes == 9 * MIB
    assert usages["CPU"].model_bytes is None  # mapped: more than is read of it


def test_weights_that_are_repacked_for_amx_are_on_the_host() -> None:
    usages = {usage.name: usage for usage in allocations.parse(captured("start-amx.log"))}
    assert list(usages) == ["AMX", "CPU"]
    assert usages["AMX"].model_bytes == int(95.34 * MIB)
    assert not any(usage.is_device for usage in usages.values())


def test_a_context_that_reserves_twice_takes_its_buffer_once() -> None:
    (usage,) = allocations.parse(captured("start-mtp.log"))
    assert usage.compute_bytes == int(54.02 * MIB) + int(52.02 * MIB)
    assert usage.context_bytes == int(128 * MIB) + int(12.56 * MIB) + int(64 * MIB)


@pytest.mark.parametrize("device", ["CPU", "CUDA0"])
def test_a_projector_counts_where_it_is(device: str) -> None:
    """As the real engine said of one on the CPU, and with the name of a GPU in its place."""
    log = captured("start-projector.log").replace("CLIP using CPU", f"CLIP using {device}")
    log = log.replace("reserve_compute_meta:        CPU", f"reserve_compute_meta:        {device}")
    usages = {usage.name: usage for usage in allocations.parse(log)}
    assert usages["AMX"].model_bytes == int(95.34 * MIB)
    if device == "CPU":
        assert usages["CPU"].compute_bytes == int(14.51 * MIB) + int(104.52 * MIB)
        assert usages["CPU"].model_bytes is None, "beside mapped weights"
    else:
        found = usages["CUDA0"]
        assert (found.model_bytes, found.compute_bytes) == (int(49.67 * MIB), int(104.52 * MIB))
        assert found.is_device
        assert usages["CPU"].compute_bytes == int(14.51 * MIB)


def test_of_a_projector_for_images_and_sound_the_weights_are_not_known() -> None:
    one = "clip_ctx: CLIP using CUDA0 backend\nload_hparams: model size:  10.00 MiB\n"
    (usage,) = allocations.parse(one + one)
    assert usage.model_bytes is None
    (usage,) = allocations.parse(one)
    assert usage.model_bytes == 10 * MIB
    (usage,) = allocations.parse("clip_ctx: CLIP using CUDA0 backend\n")
    assert usage.model_bytes is None, "a build that does not say it"
