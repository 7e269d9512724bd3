"""Are kernel, firmware and ROCm of versions that are known to be bad for these GPUs?"""

import re

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.catalogue_types import KnownIssue

CALLED = {"kernel": "kernel", "linux_firmware": "linux-firmware", "rocm": "ROCm"}
ELSEWHERE = frozenset({"rocm"})  # not installed is no version, and no trouble
NUMBERS = re.compile(r"[0-9]{1,9}")


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    archs = {gpu.arch for gpu in facts.hardware.gpus if gpu.arch}
    known = [one for one in facts.known_troubles if not one.archs or archs & set(one.archs)]
    if not known:
        return ()
    versions = {what: getattr(facts.hardware.stacks, what, None) for what in CALLED}
    bad = tuple(
        _bad(one, version) for one in known if (version := versions[one.what]) and is_bad(version, one)
    )
    asked = {one.what for one in known}
    unknown = [CALLED[what] for what in sorted(asked - ELSEWHERE) if not versions[what]]
    if unknown:
        return (*bad, *not_known(f"the version of {' and '.join(unknown)}"))
    said = ", ".join(f"{CALLED[what]} {versions[what]}" for what in sorted(asked) if versions[what])
    return bad or ok(f"nothing is known against {said}")


def is_bad(version: str, trouble: KnownIssue) -> bool:
    number = numbers(version)
    since, before = trouble.since, trouble.before
    return not (since and number < numbers(since)) and not (before and number >= numbers(before))


def numbers(version: str) -> tuple[int, ...]:
    """``"6.18.3-200.fc43"`` -> (6, 18, 3): what comes after the first dash is the distribution's."""
    return tuple(int(part) for part in NUMBERS.findall(version.partition("-")[0]))


def _bad(trouble: KnownIssue, version: str) -> Finding:
    return warning(
        f"{CALLED[trouble.what]} {version}", why=f"{trouble.why} ({trouble.source})", fix=trouble.fix
    )
