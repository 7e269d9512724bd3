"""node-ctl on a real pseudo-terminal that is its controlling one: Ctrl-C is typed, not simulated."""

import codecs
import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.rigs import forked

WAIT_S = 120.0


class Terminal:
    def __init__(self, master: int, child: forked.Child) -> None:
        self._master = master
        self.child = child
        self.screen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def until(self, text: str, *, after: str = "") -> None:
        """Reads until ``text`` was drawn, below ``after``."""
        end = time.monotonic() + WAIT_S
        while text not in self.screen.partition(after)[2] if after else text not in self.screen:
            assert time.monotonic() < end, f"{text!r} was not drawn: {self.screen!r}"
            assert self._read(0.5) or self.child.poll() is None, f"{text!r} was not drawn: {self.screen!r}"

    def until_after(self, text: str, count: int) -> None:
        """Reads until ``count`` characters were drawn after ``text``."""
        self.until(text)
        end = time.monotonic() + WAIT_S
        while len(self.screen.partition(text)[2]) < count:
            assert time.monotonic() < end, f"too little was drawn after {text!r}: {self.screen!r}"
            self._read(0.5)

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def ended(self) -> int:
        """The exit status, once everything that it drew has been read."""
        status = self.child.wait(WAIT_S)
        while self._read(0):
            pass
        return status

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            new = os.read(self._master, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return False
        self.screen += self._decoder.decode(new)
        return bool(new)


@contextmanager
def terminal(args: Sequence[str], env: Mapping[str, str], *, columns: int = 100) -> Iterator[Terminal]:
    """node-ctl with these arguments."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = {key: value for key, value in env.items() if key != "COLUMNS"} | {"TERM": "xterm-256color"}
    child = forked.start("ctl.main", args, shown, (slave, slave, slave), terminal=True)
    os.close(slave)
    try:
        yield Terminal(master, child)
    finally:
        child.kill()
        child.wait()
        os.close(master)
