"""A buffered reader of a ByteSource for GGUF's numbers, texts and arrays, in order.

Memory stays bounded whatever the file claims: the buffer drops what was read, long arrays are skipped, and
every count is checked against the bytes that are left before it is used.
"""

import struct

from catalog.formats.byte_source import ByteSource
from domain.errors import BadModelError
from domain.models.model import MetadataValue, Scalar
from domain.units import MIB

FIRST_CHUNK_BYTES = 256 * 1024
MAX_CHUNK_BYTES = 2 * MIB
MAX_HEADER_BYTES = 512 * MIB
MAX_TEXTS = 1 << 24  # that are skipped in one file: the largest vocabularies hold about 2**20
MAX_VALUE_BYTES = 16 * MIB  # of all values of one file together
MAX_ERROR_CHARS = 400  # names in a header may be of any length
MAX_ARRAY_LENGTH = 4096  # of an array whose values are read
# Added to MAX_VALUE_BYTES for each value: about what CPython needs for a str or a number besides its content.
TEXT_OVERHEAD_BYTES, NUMBER_BYTES = 64, 32

# GGUF's value types, by number: specification, "gguf_metadata_value_type".
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BOOL, TEXT, ARRAY = 7, 8, 9
_NUMBERS = {code: struct.Struct(f"<{code}") for code in FORMATS.values()}
_LENGTH = _NUMBERS["Q"]


class BufferedReader:
    """``chunk_bytes`` is the size of the first read; each further one is twice as large."""

    def __init__(self, source: ByteSource, *, chunk_bytes: int = FIRST_CHUNK_BYTES) -> None:
        self._source = source
        self._buffer = b""
        self._buffer_start = 0
        self._offset = 0
        self._chunk_bytes = chunk_bytes
        self._texts_left = MAX_TEXTS
        self._value_bytes = 0

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def position(self) -> int:
        return self._buffer_start + self._offset

    @property
    def left_bytes(self) -> int:
        return self._source.size_bytes - self.position

    def error(self, what: str) -> BadModelError:
        shown = what if len(what) <= MAX_ERROR_CHARS else f"{what[:MAX_ERROR_CHARS]}..."
        return BadModelError(f"{self._source.name} is not a usable GGUF file: {shown}")

    def seek(self, position: int, *, chunk_bytes: int) -> None:
        """Forward, past bytes that need not be read."""
        self._skip(position - self.position)
        self._chunk_bytes = chunk_bytes

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        self._fill(count)
        start, self._offset = self._offset, self._offset + count
        return self._buffer[start : self._offset]

    def read_number(self, code: str) -> int:
        number = _NUMBERS[code]
        value: int = number.unpack(self.read(number.size))[0]
        return value

    def read_count(self, what: str, *, item_bytes: int, maximum: int) -> int:
        """A count of items of at least ``item_bytes``: more than the file can hold is an error."""
        count = self.read_number("Q")
        if count > maximum or count * item_bytes > self.left_bytes:
            raise self.error(f"it claims {count} {what}, with {self.left_bytes} bytes left for them")
        return count

    def read_text(self, what: str) -> bytes:
        length = self.read_count(f"bytes of {what}", item_bytes=1, maximum=MAX_VALUE_BYTES)
        self._count_value(length + TEXT_OVERHEAD_BYTES)
        return self.read(length)

    def read_value(self, kind: int, key: str) -> tuple[MetadataValue | None, int | None]:
        """A value, and the length of an array that is too long to read (its value is None)."""
        if kind != ARRAY:
            return self._read_scalar(kind, key), None
        kind = self.read_number("I")
        if kind == ARRAY:
            raise self.error(f"{key} is an array of arrays")
        item_bytes = 8 if kind == TEXT else self._width_bytes(kind, key)
        length = self.read_count(f"values in {key}", item_bytes=item_bytes, maximum=self._source.size_bytes)
        if length > MAX_ARRAY_LENGTH:
            self._skip_texts(length, key) if kind == TEXT else self._skip(length * item_bytes)
            return None, length
        return tuple(self._read_scalar(kind, key) for _ in range(length)), None

    def _read_scalar(self, kind: int, key: str) -> Scalar:
        if kind == TEXT:
            return self.read_text(key).decode(errors="replace")
        self._count_value(NUMBER_BYTES)
        data = self.read(self._width_bytes(kind, key))
        if kind == BOOL and data not in (b"\0", b"\1"):
            raise self.error(f"{key} is a boolean of {data[0]}")
        value: Scalar = struct.unpack("<" + FORMATS[kind], data)[0]
        return value

    def _width_bytes(self, kind: int, key: str) -> int:
        if kind not in FORMATS:
            raise self.error(f"{key} has the unknown value type {kind}")
        return struct.calcsize("<" + FORMATS[kind])

    def _count_value(self, size_bytes: int) -> None:
        self._value_bytes += size_bytes
        if self._value_bytes > MAX_VALUE_BYTES:
            raise self.error(f"its header holds more than {MAX_VALUE_BYTES // MIB} MiB of values")

    def _skip(self, count: int) -> None:
        self._offset += count
        if self.position > MAX_HEADER_BYTES:
            raise self.error(f"its header is longer than {MAX_HEADER_BYTES // MIB} MiB")

    def _skip_texts(self, count: int, key: str) -> None:
        """From length to length, without building the texts between."""
        self._texts_left -= count
        if self._texts_left < 0:
            raise self.error(f"with {key} it has more than {MAX_TEXTS} texts")
        while count:
            self._fill(8)
            count -= self._skip_buffered_texts(count)
            if self.left_bytes < 0:
                raise self.error(f"a text in {key} ends {-self.left_bytes} bytes beyond the end of the file")

    def _skip_buffered_texts(self, count: int) -> int:
        """How many of ``count`` texts begin in the buffer; at least one does."""
        read, buffer, offset, done = _LENGTH.unpack_from, self._buffer, self._offset, 0
        try:
            for done in range(count):  # noqa: B007  # the hot loop: 650 000 texts take about 50 ms
                offset += 8 + read(buffer, offset)[0]
            done = count
        except (struct.error, IndexError, OverflowError):  # the latter: a length of 63 bits
            pass  # the next length is not in the buffer, if it exists at all
        self._offset = offset
        return done

    def _fill(self, count: int) -> None:
        """Read on until the next ``count`` bytes are in the buffer."""
        if self._offset + count <= len(self._buffer):
            return
        start = self.position
        if count > self.left_bytes:
            raise self.error(f"it ends at byte {self._source.size_bytes}, within its header")
        if start + count > MAX_HEADER_BYTES:
            raise self.error(f"its header is longer than {MAX_HEADER_BYTES // MIB} MiB")
        unread = self._buffer[self._offset :]
        more_bytes = max(self._chunk_bytes, count - len(unread))
        self._buffer = unread + self._source.read(start + len(unread), more_bytes)
        self._buffer_start, self._offset = start, 0
        self._chunk_bytes = min(2 * self._chunk_bytes, MAX_CHUNK_BYTES)
        if len(self._buffer) < count:
            raise self.error(f"it ended at byte {start + len(self._buffer)} while it was read")
