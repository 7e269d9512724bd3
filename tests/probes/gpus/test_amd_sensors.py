"""What AMD cards say beside their memory: caps, fans, throttling, partitions, and what is set aside."""

import pytest

from probes.gpus.amd import sensors
from tests.rigs.trees import plant

GIB = 1024**3
XTX = "sys/bus/pci/devices/0000:03:00.0"
HWMON = f"{XTX}/hwmon/hwmon8"
NODES = "sys/class/kfd/kfd/topology/nodes"


def metrics(bits: int, *, form=(1, 3), start=112) -> bytes:
    """gpu_metrics in the kernel's form: size, format, revision, and at ``start`` the throttle status."""
    body = bytearray(start + 8)
    body[0:4] = (start + 8).to_bytes(2, "little") + bytes(form)
    body[start:] = bits.to_bytes(8, "little")
    return bytes(body)


@pytest.mark.parametrize(
    ("raw", "junction_c", "named"),
    [
        pytest.param(metrics(1 << 36), 61, (), id="Navi 31's hotspot bit is always set"),
        pytest.param(metrics(1 << 36), 104, ("temp_hotspot",), id="and counts on a hot junction"),
        pytest.param(metrics(1 << 34 | 1 << 40 | 1 << 41), 61, ("temp_mem", "temp_vr_mem"), id="hot memory"),
        pytest.param(metrics(0b1111 | 1 << 16 | 1 << 22), 61, (), id="power and current limits"),
        pytest.param(metrics(1 << 46, form=(2, 2), start=120), None, ("prochot_cpu",), id="an APU"),
        pytest.param(metrics(2**64 - 1), 61, None, id="not told"),
        pytest.param(metrics(0, form=(3, 0), start=256), 61, None, id="a format without the bits"),
        pytest.param(metrics(0)[:100], 61, None, id="torn"),
        pytest.param(b"", 61, None, id="empty"),
        pytest.param(None, 61, None, id="absent"),
    ],
)
def test_only_heat_is_a_reason(raw, junction_c, named):
    """github.com/ROCm/rocm-systems/issues/11781"""
    assert sensors.throttle_reasons(raw, junction_c=junction_c) == named


def test_a_card_tells_caps_fan_and_throttling(machine, see):
    root = plant(
        machine("rx-7900-xtx"),
        {
            f"{HWMON}/power1_cap": "289000000",
            f"{HWMON}/power1_cap_default": "303000000",
            f"{HWMON}/fan1_input": "0",
            f"{HWMON}/pwm1": "51",
            f"{HWMON}/pwm1_max": "255",
            f"{XTX}/gpu_metrics": metrics(1 << 36 | 1 << 34),
            f"{XTX}/unique_id": "946d7e1ef9b172dd",
        },
    )
    (gpu,) = see(root).gpus
    assert (gpu.power_limit_w, gpu.power_default_w, gpu.power_w) == (289, 303, 68)
    assert (gpu.fan_rpm, gpu.fan_percent) == (0, 20)
    assert (gpu.throttled_by, gpu.uuid) == (("temp_mem",), "946d7e1ef9b172dd")
    assert (gpu.compute_units, gpu.is_integrated, gpu.pci_id) == (96, False, "1002:744c")


def test_an_apu_tells_what_it_has_and_nothing_it_lacks(machine, see):
    (gpu,) = see(machine("strix-halo-128")).gpus
    assert (gpu.is_integrated, gpu.compute_units, gpu.asleep) == (True, 40, False)
    assert (gpu.link, gpu.fan_rpm, gpu.fan_percent, gpu.uuid) == (None, None, None, None)
    assert (gpu.power_limit_w, gpu.throttled_by) == (None, None)


def test_a_display_output_is_set_aside_with_its_reason(machine, see):
    igpu = "sys/bus/pci/devices/0000:11:00.0"
    root = plant(
        machine("rx-7900-xtx"),
        {f"{igpu}/class": "0x030000", f"{igpu}/vendor": "0x1002", f"{igpu}/device": "0x164e"},
        {f"{igpu}/driver": "../../../../bus/pci/drivers/amdgpu"},
    )
    hardware = see(root)
    assert [gpu.id for gpu in hardware.gpus] == ["pci:0000:03:00.0"]
    (aside,) = hardware.set_aside
    assert (aside.id, aside.is_integrated) == ("pci:0000:11:00.0", True)
    assert "display output" in aside.set_aside


def test_an_instinct_card_in_partitions_is_its_partitions(machine, see):
    """CPX: ROCm shows each as a device; the nodes of KFD share one PCI place."""
    root = machine("rx-7900-xtx")
    text = (root / NODES / "1/properties").read_text()
    bank = f"heap_type 1\nsize_in_bytes {6 * GIB}\nflags 0\nwidth 8192\nmem_clk_max 1300\n"
    for number in range(1, 5):
        node = f"{NODES}/{number}"
        plant(
            root,
            {
                f"{node}/gpu_id": f"{number}",
                f"{node}/properties": text,
                f"{node}/mem_banks/0/properties": bank,
            },
        )
    hardware = see(root)
    assert [gpu.id for gpu in hardware.gpus] == [f"pci:0000:03:00.0:{number}" for number in range(4)]
    assert {gpu.parent for gpu in hardware.gpus} == {"pci:0000:03:00.0"}
    assert [gpu.memory_total_bytes for gpu in hardware.gpus] == [6 * GIB] * 4
    assert sum(gpu.bandwidth_bytes_per_s for gpu in hardware.gpus) == 960e9
    assert [gpu.set_aside for gpu in hardware.set_aside] == ["cut into 4 partitions"]


@pytest.mark.parametrize(
    ("revision", "name"),
    [("0xc1", "AMD Radeon 8060S"), ("0xd2", "AMD Radeon 8050S"), ("0xd5", "AMD Radeon 8040S")],
)
def test_one_id_is_three_chips_by_its_revision(machine, see_known, revision, name):
    """amdgpu.ids of Mesa's libdrm: 1586 c1 is a 8060S, d2 a 8050S, d5 a 8040S."""
    root = plant(machine("strix-halo-128"), {"sys/bus/pci/devices/0000:c3:00.0/revision": revision})
    (gpu,) = see_known(root).gpus
    assert gpu.name.startswith(name)
    assert gpu.bandwidth_bytes_per_s == 256e9


def test_a_revision_that_nobody_knows_is_unified_all_the_same(machine, see_known):
    root = plant(machine("strix-halo-128"), {"sys/bus/pci/devices/0000:c3:00.0/revision": "0xff"})
    (gpu,) = see_known(root).gpus
    assert (gpu.name, gpu.arch, gpu.is_integrated) == ("amd 1002:1586", "gfx1151", True)
    assert gpu.memory_total_bytes == 67077001216
