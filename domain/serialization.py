"""Values to JSON and back: a frozen dataclass, its enums and tuples, nested as the contracts nest."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
SCALARS = (str, int, float, bool)


def to_json(value: object) -> Any:
    """Dicts, lists and scalars, ready for ``json.dumps``. ``None`` stays ``null``."""
    kind = type(value)
    if value is None or kind in SCALARS:
        return value
    names = _field_names(kind)  # type: ignore[arg-type]  # mypy takes no type for hashable
    if names is not None:
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def value_from_json(kind: type[T], data: object, where: str) -> T:
    """As ``from_json``, for any type that a field may have. ``where`` names it in errors."""
    value: T = _value(kind, data, where)
    return value


def from_json(kind: type[T], data: object) -> T:
    """A ``kind`` from what ``to_json`` gave. Unknown keys are ignored: a file of a newer version loads.

    Raises: ValueError, naming the field, for a value of the wrong type or a missing field.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{kind.__name__}: expected an object, found {type(data).__name__}")
    hints = _hints(kind)  # type: ignore[arg-type]  # as above
    values = {}
    for item in fields(kind):  # type: ignore[arg-type]
        if item.name in data:
            values[item.name] = _value(hints[item.name], data[item.name], f"{kind.__name__}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{kind.__name__}.{item.name} is missing")
    return kind(**values)


@cache
def _field_names(kind: type) -> tuple[str, ...] | None:
    """``None`` for what is no dataclass."""
    return tuple(item.name for item in fields(kind)) if is_dataclass(kind) else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Resolving the names of annotations takes longer than all the rest."""
    return get_type_hints(kind)


def _value(hint: Any, data: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _first_that_takes(get_args(hint), data, where)
    if origin is tuple:
        return _tuple(get_args(hint), data, where)
    if origin is dict or origin is Mapping:
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an object, found {data!r}")
        kind = get_args(hint)[1]
        return {key: _value(kind, item, f"{where}[{key}]") for key, item in data.items()}
    if hint is types.NoneType or hint is None:
        if data is not None:
            raise ValueError(f"{where}: expected null, found {data!r}")
        return None
    if is_dataclass(hint):
        return from_json(hint, data)  # type: ignore[arg-type]
    return _scalar(hint, data, where)


def _first_that_takes(choices: tuple[Any, ...], data: object, where: str) -> Any:
    """Of several dataclasses the one that has all the keys: their defaults would let any of them pass."""
    problem: ValueError | None = None
    for choice in sorted(choices, key=lambda choice: _strange_keys(choice, data)):
        try:
            return _value(choice, data, where)
        except ValueError as error:
            problem = problem or error
    raise problem or ValueError(f"{where}: {data!r} has no type here")


def _strange_keys(choice: Any, data: object) -> int:
    if not is_dataclass(choice) or not isinstance(data, Mapping):
        return 0
    return len(set(data) - {item.name for item in fields(choice)})


def _tuple(items: tuple[Any, ...], data: object, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise ValueError(f"{where}: expected a list, found {data!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_value(items[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(items) != len(data):
        raise ValueError(f"{where}: expected {len(items)} values, found {len(data)}")
    return tuple(_value(hint, item, where) for hint, item in zip(items, data, strict=True))


def _scalar(hint: Any, data: object, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        try:
            return float(data)
        except OverflowError:
            raise ValueError(f"{where}: a number of {data.bit_length()} bits is too large") from None
    if hint is Any or (type(data) is hint):
        return data
    raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, found {data!r}")
