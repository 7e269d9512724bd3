"""The kernel's log: faults in lines that were captured, and new records only."""

import json
import os
import time
from pathlib import Path

import pytest

from probes.kernel_log import FaultKind, KernelLog, is_denied, parse
from tests.rigs.trees import plant

CAPTURES = json.loads((Path(__file__).parent.parent / "captures/kernel_log.json").read_text())
OOM = CAPTURES[0]["record"] + "\n"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture["record"].partition(";")[2][:40])
def test_a_fault_is_found_in_its_line(capture) -> None:
    fault = parse(capture["record"])
    found = (None, None, None) if fault is None else (fault.kind, fault.device, fault.pid)
    assert found == (capture["kind"], capture.get("device"), capture.get("pid"))


@pytest.mark.parametrize(
    "record",
    [
        "12,1,1,-;NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus",
        "3,1,1,-;someone says NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus",
        "NVRM: Xid (PCI:0000:44:00): 79",
        "x,1,1,-;NVRM: Xid (PCI:0000:44:00): 79",
        " SUBSYSTEM=pci",
        "",
        ";",
    ],
)
def test_a_line_of_a_program_or_of_another_form_is_no_fault(record: str) -> None:
    assert parse(record) is None


def test_another_xid_is_told_and_its_gpu_is_not_lost() -> None:
    fault = parse("3,1,1,-;NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=llama-server, Ch 00000008")
    assert fault is not None
    assert (fault.kind, fault.device) == (FaultKind.XID, "pci:0000:01:00.0")


@pytest.mark.parametrize(
    "tail", ["0" * 100_000, "amdgpu 0000:" * 9000, "fallen off " * 9000, "temperature " * 9000]
)
def test_long_lines_take_no_time(tail: str) -> None:
    began = time.process_time()
    for head in ("NVRM: The NVIDIA GPU 0000:b3:00.0 ", "amdgpu 0000:28:00.0: ", "CPU0: Package ", "thermal "):
        parse(f"3,1,1,-;{head}{tail}")
    assert time.process_time() - began < 1


def test_only_new_records_are_read(tmp_path: Path) -> None:
    path = plant(tmp_path, {"dev/kmsg": OOM}) / "dev/kmsg"
    log = KernelLog(tmp_path)
    assert log.faults() == ()
    with path.open("a") as kmsg:
        kmsg.write(OOM)
    assert [fault.pid for fault in log.faults()] == [13296]
    assert log.faults() == ()
    log.close()
    assert log.faults() == ()


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="no kernel log here")
def test_the_log_of_this_machine_is_read_without_blocking() -> None:
    log = KernelLog(Path("/"))
    assert all(fault.line for fault in log.faults())
    log.close()
    assert not is_denied(Path("/"))


def test_a_machine_without_a_log_has_no_faults(tmp_path: Path) -> None:
    assert KernelLog(tmp_path).faults() == ()
    assert not is_denied(tmp_path)
