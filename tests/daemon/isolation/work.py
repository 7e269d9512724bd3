"""What workers are made to do in tests."""

import math
import os
import signal
import time
from pathlib import Path

from domain.errors import DoesNotFitError
from domain.machine.hardware import MemoryKind
from domain.models.model import ModelShape, Tensor


def add(left: int, right: int) -> int:
    return left + right


def shape() -> ModelShape:
    tensors = (Tensor("w", "F16", (8, 8), 128), Tensor("b", "F32", (8,), 32))
    return ModelShape("llama", tensors, 160, {"llama.block_count": 1}, {"tokens": 5})


def shape_without_tensors() -> ModelShape:
    return ModelShape("llama", (), 160)


def process_id() -> int:
    return os.getpid()


def refuse() -> None:
    raise DoesNotFitError("m", needs_bytes=3 << 30, has_bytes=1 << 30, instead="take a smaller one")


def break_down() -> None:
    raise ZeroDivisionError("a bug")


def never_end() -> None:
    while True:
        pass


def multiply_long_numbers() -> int:
    """A single call into C that holds the interpreter for minutes."""
    return math.prod([10**4000 - 1] * 30000)


def fill_memory() -> int:
    return len(bytearray(8 << 30))


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(600)


def end_the_fork_server() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def die() -> None:
    os.abort()


def hold_open(path: str) -> None:
    with Path(path).open("w"):
        time.sleep(600)


class Trap:
    """Unpickled by whoever trusts it, it calls a function."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.putenv, ("TRAPPED", "1")


def trap() -> Trap:
    return Trap()


class Attribute:
    """Pickled as a call of ``getattr``, as Python 3.11.0 to 3.11.3 do with a member of an enum."""

    def __init__(self, of: object, name: str) -> None:
        self.of, self.name = of, name

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (self.of, self.name)


def member() -> Attribute:
    return Attribute(MemoryKind, "UNIFIED")


def method() -> Attribute:
    return Attribute(MemoryKind, "mro")
