"""Do kernel, firmware or ROCm have versions with known issues on these GPUs?"""

import re

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.models.catalogue_types import KnownIssue

LABELS = {"kernel": "kernel", "linux_firmware": "linux-firmware", "rocm": "ROCm"}
OPTIONAL = frozenset({"rocm"})  # may not be installed: then there is no version, and no issue
NUMBERS = re.compile(r"[0-9]{1,9}")


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    archs = {gpu.arch for gpu in inputs.hardware.gpus if gpu.arch}
    issues = [issue for issue in inputs.known_issues if not issue.archs or archs & set(issue.archs)]
    if not issues:
        return ()
    versions = {what: getattr(inputs.hardware.stacks, what, None) for what in LABELS}
    findings = tuple(
        _finding(issue, version)
        for issue in issues
        if (version := versions[issue.what]) and is_affected(version, issue)
    )
    needed = sorted({issue.what for issue in issues})
    unknown = [LABELS[what] for what in needed if what not in OPTIONAL and not versions[what]]
    if unknown:
        return (*findings, *not_known(f"the version of {' and '.join(unknown)}"))
    installed = ", ".join(f"{LABELS[what]} {versions[what]}" for what in needed if versions[what])
    return findings or ok(f"no known issues with {installed}")


def is_affected(version: str, issue: KnownIssue) -> bool:
    number = numbers(version)
    since, before = issue.since, issue.before
    return not (since and number < numbers(since)) and not (before and number >= numbers(before))


def numbers(version: str) -> tuple[int, ...]:
    """``"6.18.3-200.fc43"`` -> (6, 18, 3): what follows the first dash is the distribution's."""
    return tuple(int(part) for part in NUMBERS.findall(version.partition("-")[0]))


def _finding(issue: KnownIssue, version: str) -> Finding:
    return warning(f"{LABELS[issue.what]} {version}", why=f"{issue.why} ({issue.source})", fix=issue.fix)
