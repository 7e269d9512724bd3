"""What a check finds, and how it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from daemon.doctor.checks.input import DoctorInput


class Verdict(StrEnum):
    """``NOT_KNOWN`` is what a check says that could not look: never ``OK``."""

    OK = "ok"
    NOT_KNOWN = "not_known"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """``why`` says what it costs the owner, ``fix`` what to type. Both are empty where all is well."""

    status: Verdict
    found: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class NamedFinding:
    """A finding as ``node-ctl doctor --json`` has it: with the check's name, and what to type once the
    fix is made."""

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
    return (Finding(Verdict.NOT_KNOWN, found, fix=fix),)


def warning(found: str, *, why: str, fix: str) -> Finding:
    return Finding(Verdict.WARNING, found, why, fix)


def error(found: str, *, why: str, fix: str) -> Finding:
    return Finding(Verdict.ERROR, found, why, fix)
