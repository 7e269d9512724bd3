"""A cache for what is computed of one large value: found by the object itself, without hashing all of it."""

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def cached_by_identity(maxsize: int) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """For a function of one argument. The latest ``maxsize`` arguments are kept, so that no other object gets
    the identity of one of them. An equal object is computed again, with the same result."""

    def decorate(function: Callable[[K], V]) -> Callable[[K], V]:
        known: OrderedDict[int, tuple[K, V]] = OrderedDict()

        @wraps(function)
        def cached(argument: K) -> V:
            found = known.get(id(argument))
            if found is not None:
                return found[1]
            value = function(argument)
            known[id(argument)] = (argument, value)
            if len(known) > maxsize:
                known.popitem(last=False)
            return value

        return cached

    return decorate
