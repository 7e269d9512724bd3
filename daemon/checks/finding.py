"""What checks look at, and what they find."""

from dataclasses import dataclass
from enum import StrEnum

from config.settings import Settings
from domain.hardware import Hardware


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """``why`` says what it costs the owner, ``fix`` what to type. Both are empty where all is well."""

    check: str
    status: Verdict
    found: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """``groups`` of this process by name; ``low_disks`` folders with the bytes that are left."""

    hardware: Hardware
    settings: Settings
    groups: frozenset[str]
    low_disks: dict[str, int]
