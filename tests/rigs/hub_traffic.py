"""What a stand-in for a server has sent, and answers that it holds back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Traffic:
    def __init__(self) -> None:
        self._sent_bytes = 0
        self._busy = 0  # answers on their way, without those that are held
        self._settled = threading.Condition()
        self._going_on = threading.Event()

    @property
    def sent_bytes(self) -> int:
        """Of bodies. A client has its answer before the server's write returns: answers under way count."""
        self._settle()
        return self._sent_bytes

    @sent_bytes.setter
    def sent_bytes(self, count: int) -> None:
        self._settle()
        self._sent_bytes = count

    def _settle(self) -> None:
        with self._settled:
            assert self._settled.wait_for(lambda: self._busy == 0, 60), "an answer does not end"

    def go_on(self) -> None:
        """Whatever is held is sent, and nothing is held any more."""
        self._going_on.set()

    @contextmanager
    def counting(self, change: int = 1) -> Iterator[None]:
        """While an answer is under way; with -1, while one that is under way is held."""
        with self._settled:
            self._busy += change
            self._settled.notify_all()
        try:
            yield
        finally:
            with self._settled:
                self._busy -= change
                self._settled.notify_all()

    def count(self, sent_bytes: int) -> None:
        with self._settled:
            self._sent_bytes += sent_bytes

    def must_go_on(self) -> bool:
        return self._going_on.is_set()
