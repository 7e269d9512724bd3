"""A sliding window over a ByteSource that reads GGUF's numbers, texts and arrays in order.

Memory stays bounded whatever the file says: the window drops what was read, long arrays are passed
over, and every count is checked against the bytes that are left before anything is done with it.
"""

import struct

from catalog.formats.byte_source import ByteSource
from domain.errors import BadModelError
from domain.model import MetadataValue, Scalar
from domain.units import MIB

FIRST_CHUNK_BYTES = 256 * 1024
MAX_CHUNK_BYTES = 2 * MIB
MAX_HEADER_BYTES = 512 * MIB
MAX_TEXTS = 1 << 24  # texts to hop over in one file: the largest vocabularies hold about 2**20
MAX_KEPT_BYTES = 16 * MIB
KEPT_VALUES = 4096

# GGUF's value types, by number: specification, "gguf_metadata_value_type".
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT = 8
ARRAY = 9
_LENGTH = struct.Struct("<Q")


class BufferedReader:
    """``chunk_bytes`` is what is read at first, where no more is needed; then twice that, and so on."""

    def __init__(self, source: ByteSource, *, chunk_bytes: int = FIRST_CHUNK_BYTES) -> None:
        self._source = source
        self._data = b""
        self._base = 0
        self._at = 0
        self._chunk_bytes = chunk_bytes
        self._texts_left = MAX_TEXTS
        self._kept_bytes = 0

    @property
    def position(self) -> int:
        return self._base + self._at

    @property
    def left_bytes(self) -> int:
        return self._source.size_bytes - self.position

    def bad(self, what: str) -> BadModelError:
        return BadModelError(f"{self._source.name} is no usable GGUF file: {what}")

    def go_to(self, position: int, *, chunk_bytes: int) -> None:
        """Go on reading further down, past bytes that need not be read."""
        self._skip(position - self.position)
        self._chunk_bytes = chunk_bytes

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        self._need(count)
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def count(self, what: str, *, each_bytes: int, most: int) -> int:
        """A count of things that take ``each_bytes`` at least: more than the file holds is an error."""
        count = self.number("Q")
        if count > most or count * each_bytes > self.left_bytes:
            raise self.bad(f"it claims {count} {what}, and has {self.left_bytes} bytes left for them")
        return count

    def text(self, what: str) -> bytes:
        length = self.count(f"bytes of {what}", each_bytes=1, most=MAX_KEPT_BYTES)
        self._keep(length + 64)
        return self.take(length)

    def value(self, kind: int, key: str) -> tuple[MetadataValue | None, int | None]:
        """A value, and the length of an array that is too long to keep (its value is None)."""
        if kind != ARRAY:
            return self._scalar(kind, key), None
        kind = self.number("I")
        if kind == ARRAY:
            raise self.bad(f"{key} is an array of arrays")
        each_bytes = 8 if kind == TEXT else self._width(kind, key)
        length = self.count(f"values in {key}", each_bytes=each_bytes, most=self._source.size_bytes)
        if length > KEPT_VALUES:
            self._skip_texts(length, key) if kind == TEXT else self._skip(length * each_bytes)
            return None, length
        return tuple(self._scalar(kind, key) for _ in range(length)), None

    def _scalar(self, kind: int, key: str) -> Scalar:
        if kind == TEXT:
            return self.text(key).decode(errors="replace")
        self._keep(32)
        data = self.take(self._width(kind, key))
        if kind == 7 and data not in (b"\0", b"\1"):
            raise self.bad(f"{key} is a truth value of {data[0]}")
        value: Scalar = struct.unpack("<" + FORMATS[kind], data)[0]
        return value

    def _width(self, kind: int, key: str) -> int:
        if kind not in FORMATS:
            raise self.bad(f"{key} has the unknown value type {kind}")
        return struct.calcsize("<" + FORMATS[kind])

    def _keep(self, count: int) -> None:
        self._kept_bytes += count
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise self.bad(f"its header holds more than {MAX_KEPT_BYTES // MIB} MiB of values")

    def _skip(self, count: int) -> None:
        self._at += count
        if self.position > MAX_HEADER_BYTES:
            raise self.bad(f"its header is longer than {MAX_HEADER_BYTES // MIB} MiB")

    def _skip_texts(self, count: int, key: str) -> None:
        """Hop from length to length, without building the texts between."""
        self._texts_left -= count
        if self._texts_left < 0:
            raise self.bad(f"{key} brings it to more than {MAX_TEXTS} texts")
        while count:
            self._need(8)
            count -= self._hop(count)
            if self.left_bytes < 0:
                raise self.bad(f"a text in {key} reaches {-self.left_bytes} bytes beyond the end of the file")

    def _hop(self, count: int) -> int:
        """How many of ``count`` texts began in this window; at least one does."""
        read, data, at, done = _LENGTH.unpack_from, self._data, self._at, 0
        try:
            for done in range(count):  # noqa: B007  # the hot loop: 650 000 texts take some 50 ms
                at += 8 + read(data, at)[0]
            done = count
        except (struct.error, IndexError):
            pass  # the next length is not in this window, if it exists at all
        self._at = at
        return done

    def _need(self, count: int) -> None:
        """Make the next ``count`` bytes part of the window."""
        if self._at + count <= len(self._data):
            return
        start = self.position
        if count > self.left_bytes:
            raise self.bad(f"it ends at byte {self._source.size_bytes}, within its header")
        if start + count > MAX_HEADER_BYTES:
            raise self.bad(f"its header is longer than {MAX_HEADER_BYTES // MIB} MiB")
        kept = self._data[self._at :]
        more = max(self._chunk_bytes, count - len(kept))
        self._data = kept + self._source.read(start + len(kept), more)
        self._base, self._at = start, 0
        self._chunk_bytes = min(2 * self._chunk_bytes, MAX_CHUNK_BYTES)
        if len(self._data) < count:
            raise self.bad(f"it ended at byte {start + len(self._data)} while it was read")
