"""What the daemon and its workers send each other: pickles one way, data the other way.

The daemon pickles a call. A worker has read what others made, so its answer is unpickled with the value
types of this project alone: whatever took it over can't have the daemon run a function of its choice.
"""

import io
import pickle
import struct
from dataclasses import dataclass
from enum import EnumType, StrEnum
from typing import Any

LENGTH = struct.Struct("<Q")
USAGE = struct.Struct("<idQ")
MAX_MESSAGE_BYTES = 256 << 20  # the shapes of ten quants of a model with 200 000 tensors have 100 MiB
REPLY, ENDED = b"R", b"E"  # the first byte from a worker, and from the fork server once a worker has ended
_DATA_MODULES = ("domain.", "planner.", "catalog.hub.errors.", "pathlib.")
_BUILTINS = frozenset({"set", "frozenset", "bytearray", "complex"})


class Outcome(StrEnum):
    RESULT = "result"
    ERROR = "error"  # a NodeError
    NO_MEMORY = "no_memory"
    BUG = "bug"  # any other exception: its traceback


@dataclass(frozen=True, slots=True)
class Usage:
    """How a worker ended (as ``os.waitstatus_to_exitcode``) and what it had used by then."""

    exit_code: int
    cpu_s: float
    peak_bytes: int

    def pack(self) -> bytes:
        return ENDED + USAGE.pack(self.exit_code, self.cpu_s, self.peak_bytes)


def load(message: bytes) -> Any:
    """Raises: pickle.UnpicklingError for a message with anything but data."""
    return _DataUnpickler(io.BytesIO(message)).load()


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name in _BUILTINS:
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):
            return _member
        if f"{module}.".startswith(_DATA_MODULES):
            found = super().find_class(module, name)
            if isinstance(found, type) or (module, name) == ("domain.errors", "restore"):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no data")


def _member(of: Any, name: Any) -> Any:
    """What ``getattr`` may do here: Python 3.11.0 to 3.11.3 pickle a member of an enum as a call of it."""
    if isinstance(of, EnumType) and isinstance(name, str) and name in of.__members__:
        return of.__members__[name]
    raise pickle.UnpicklingError(f"{name} of {of} is no data")
