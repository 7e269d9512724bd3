"""Values of a header, by their key without the architecture."""

from domain.errors import BadModelError
from domain.model import ModelShape


class HeaderReader:
    """Header values of an architecture, by key. Raises: BadModelError for values that can't be."""

    def __init__(self, shape: ModelShape) -> None:
        self.shape = shape

    def count(self, key: str, default: int | None = None) -> int:
        value = self.shape.get(key)
        if isinstance(value, tuple):
            value = value[0] if value else None
        if value is None and default is not None:
            return default
        if isinstance(value, (int, float)) and 0 <= value < 1 << 40:
            return int(value)
        raise BadModelError(f"the header's {self.shape.architecture}.{key} is {value!r}, a count is expected")

    def per_layer(self, key: str, layers: int, default: int | None = None) -> tuple[int, ...]:
        """A value per layer: one for all, or a list."""
        value = self.shape.get(key)
        if isinstance(value, tuple) and value and len(value) >= layers:
            if all(isinstance(item, (int, float)) for item in value):
                return tuple(int(item) for item in value[:layers])
            raise BadModelError(f"the header's {self.shape.architecture}.{key} holds more than numbers")
        return (self.count(key, default),) * layers
