"""What a check returns."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from daemon.doctor.checks.input import DoctorInput


class Verdict(StrEnum):
    """``NOT_KNOWN`` is the verdict of a check that could not read what it needs: never ``OK``."""

    OK = "ok"
    NOT_KNOWN = "not_known"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """``why`` is the effect on the owner, ``fix`` what to type or do. Both are empty if the verdict is OK."""

    status: Verdict
    found: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class NamedFinding:
    """A finding as in ``node-ctl doctor --json``: with the check's name and the command to run after the
    fix."""

    check: str
    status: Verdict
    found: str
    why: str
    fix: str
    recheck: str


Check = Callable[[DoctorInput], tuple[Finding, ...]]


def ok(found: str) -> tuple[Finding, ...]:
    return (Finding(Verdict.OK, found),)


def not_known(found: str, fix: str = "") -> tuple[Finding, ...]:
    """``found`` completes "not known: ...", such as "how much RAM is free"."""
    return (Finding(Verdict.NOT_KNOWN, found, fix=fix),)


def warning(found: str, *, why: str, fix: str) -> Finding:
    return Finding(Verdict.WARNING, found, why, fix)


def error(found: str, *, why: str, fix: str) -> Finding:
    return Finding(Verdict.ERROR, found, why, fix)
