"""Disks that are full, not writable, slow or volatile."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import disk
from daemon.doctor.checks.input import Disk
from domain.machine.hardware import Storage
from domain.units import GIB
from tests.daemon.doctor.checks.build import (
    ERROR,
    HEALTHY,
    NOT_KNOWN,
    OK,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

MODELS = Disk("models", "/srv/models", 200 * GIB, 1000 * GIB, writable=True)

CASES = [
    Case(
        "room",
        inputs(disks=(MODELS,), disk_low_bytes=5 * GIB),
        (OK,),
        ("200.0 GiB of 1000.0 GiB free for models",),
    ),
    Case(
        "hardly any",
        inputs(disks=(replace(MODELS, free_bytes=GIB),), disk_low_bytes=5 * GIB),
        (WARNING,),
        ("1.0 GiB of", "models_dir"),
    ),
    Case(
        "hardly any for the state alone",
        inputs(disks=(Disk("state", "/var/lib/node-daemon", 0, GIB, writable=True),), disk_low_bytes=5 * GIB),
        (WARNING,),
        ("launches are refused", "state_dir"),
    ),
    Case(
        "not writable",
        inputs(disks=(replace(MODELS, writable=False),)),
        (ERROR,),
        ("/srv/models is not writable",),
    ),
    Case(
        "unknown", inputs(disks=(Disk("state", "/var/lib/node-daemon"),)), (NOT_KNOWN,), ("free for state",)
    ),
    Case(
        "weights in RAM",
        inputs(hardware={"storage": Storage("/tmp/models", filesystem="tmpfs")}),
        (WARNING,),
        ("/tmp/models is on tmpfs", "lost at a reboot"),
    ),
    Case(
        "weights across a network",
        inputs(hardware={"storage": Storage("/mnt/nas", filesystem="nfs4")}),
        (WARNING,),
        ("/mnt/nas is on nfs4", "stalls"),
    ),
    Case("a common file system", inputs(hardware={"storage": Storage("/srv", filesystem="ext4")}), ()),
    Case("no folder is known", HEALTHY, ()),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_an_unsuitable_disk(case: Case) -> None:
    judge(disk.check, case)
