"""Versions with known issues."""

from dataclasses import replace

import pytest

from config.versions import FILE, cuda_since, known_issues
from daemon.doctor.checks import versions
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Stacks
from domain.models.catalogue_types import KnownIssue
from tests.daemon.doctor.checks.build import (
    HALO,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)


def halo(**stacks: str | None) -> DoctorInput:
    good = Stacks(kernel="6.18.9-200.fc43.x86_64", linux_firmware="20260110-1.fc43")
    return inputs(HALO, hardware={"stacks": replace(good, **stacks)}, known_issues=known_issues())


CASES = [
    Case("no known issues of this GPU", inputs(RTX_3090, known_issues=known_issues()), ()),
    Case("good ones", halo(), (OK,), ("no known issues with kernel 6.18.9-200.fc43.x86_64",)),
    Case(
        "an old kernel",
        halo(kernel="6.12.57+deb13-amd64"),
        (WARNING,),
        ("kernel 6.12", "6.18.4", "issues/5444"),
    ),
    Case("a newer one with the bug", halo(kernel="6.17.0-14-generic"), (WARNING,), ("6.18.4", "unstable")),
    Case("the first without it", halo(kernel="6.18.4-200.fc43.x86_64"), (OK,)),
    Case("the firmware that was recalled", halo(linux_firmware="20251125-1.fc43"), (WARNING,), ("20260110",)),
    Case("a ROCm with page faults", halo(rocm="7.2.1"), (WARNING,), ("ROCm 7.2.1", "Vulkan")),
    Case("the version after it", halo(rocm="7.2.2"), (OK,)),
    Case(
        "no firmware package is found",
        halo(linux_firmware=None),
        (NOT_KNOWN,),
        ("the version of linux-firmware",),
    ),
    Case(
        "a known issue is reported in any case",
        halo(linux_firmware=None, kernel="6.17.0"),
        (WARNING, NOT_KNOWN),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_versions_with_known_issues(case: Case) -> None:
    judge(versions.check, case)


def test_every_entry_names_what_it_is_for_and_its_source() -> None:
    for issue in known_issues():
        assert issue.what in versions.LABELS
        assert issue.since or issue.before
        assert issue.why
        assert issue.fix
        assert "." in issue.source
    assert set(cuda_since()) <= {f"sm_{number}" for number in range(70, 130)}
    assert "source" in FILE.read_text()


@pytest.mark.parametrize(
    ("version", "bad"),
    [("1.9", False), ("2", True), ("2.0.1-3.fc43", True), ("2.1", False), ("10.0", False)],
)
def test_numbers_are_compared_as_numbers(version: str, bad: bool) -> None:
    assert versions.is_affected(version, KnownIssue("kernel", since="2", before="2.1")) is bad
