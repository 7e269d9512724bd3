"""Reads numbers from a model's header, under their keys without the architecture (``block_count``)."""

from domain.errors import BadModelError
from domain.models.model import ModelShape

MAX_COUNT = 1 << 40


class HeaderReader:
    """The counts of one header. All methods raise BadModelError, naming the key, for a value that is missing
    without a default, or that can't be a count."""

    def __init__(self, shape: ModelShape) -> None:
        self.shape = shape

    def count(self, key: str, default: int | None = None) -> int:
        """A number for the whole model; of a list with a value per layer, the first."""
        value = self.shape.get(key)
        if isinstance(value, tuple):
            value = value[0] if value else None
        return self._as_count(key, value, default)

    def at_layer(self, key: str, layer: int, default: int | None = None) -> int:
        """The number for one layer: the same for all, or one of a list."""
        value = self.shape.get(key)
        if isinstance(value, tuple):
            value = value[layer] if layer < len(value) else None
        return self._as_count(key, value, default)

    def per_layer(self, key: str, layers: int, default: int | None = None) -> tuple[int, ...]:
        """A number for each of ``layers``: the same for all, or a list."""
        value = self.shape.get(key)
        if isinstance(value, tuple) and value and len(value) >= layers:
            if all(isinstance(item, (int, float)) for item in value):
                return tuple(int(item) for item in value[:layers])
            raise BadModelError(f"the header's {self._full(key)} holds more than numbers")
        return (self.count(key, default),) * layers

    def flag(self, key: str) -> bool:
        """Whether the header has a true value; false if it has none."""
        return bool(self.shape.get(key))

    def _as_count(self, key: str, value: object, default: int | None) -> int:
        if value is None and default is not None:
            return default
        if isinstance(value, (int, float)) and 0 <= value < MAX_COUNT:
            return int(value)
        raise BadModelError(f"the header's {self._full(key)} is {value!r}, a count is expected")

    def _full(self, key: str) -> str:
        return f"{self.shape.architecture}.{key}"
