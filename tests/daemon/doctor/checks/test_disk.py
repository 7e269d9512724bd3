"""Disks that are full, closed, slow or volatile."""

from dataclasses import replace

import pytest

from daemon.doctor.checks import disk
from daemon.doctor.checks.input import Disk
from domain.hardware import Storage
from domain.units import GIB
from tests.daemon.doctor.checks.build import ERROR, NOT_KNOWN, OK, WARNING, WELL, Case, facts, judge, name

MODELS = Disk("models", "/srv/models", 200 * GIB, 1000 * GIB, writable=True)

CASES = [
    Case(
        "room",
        facts(disks=(MODELS,), disk_low_bytes=5 * GIB),
        (OK,),
        ("200.0 GiB of 1000.0 GiB free for models",),
    ),
    Case(
        "hardly any",
        facts(disks=(replace(MODELS, free_bytes=GIB),), disk_low_bytes=5 * GIB),
        (WARNING,),
        ("1.0 GiB of", "models_dir"),
    ),
    Case(
        "not ours",
        facts(disks=(replace(MODELS, writable=False),)),
        (ERROR,),
        ("/srv/models may not be written",),
    ),
    Case(
        "not told", facts(disks=(Disk("state", "/var/lib/node-daemon"),)), (NOT_KNOWN,), ("free for state",)
    ),
    Case(
        "weights in RAM",
        facts(box={"storage": Storage("/tmp/models", filesystem="tmpfs")}),
        (WARNING,),
        ("/tmp/models lies on tmpfs", "gone after a reboot"),
    ),
    Case(
        "weights across a network",
        facts(box={"storage": Storage("/mnt/nas", filesystem="nfs4")}),
        (WARNING,),
        ("/mnt/nas lies on nfs4", "stalls"),
    ),
    Case("a common file system", facts(box={"storage": Storage("/srv", filesystem="ext4")}), ()),
    Case("no folder is told", WELL, ()),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_disk_that_will_not_do_is_told(case: Case) -> None:
    judge(disk.check, case)
