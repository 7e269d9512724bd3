"""The patterns of ``-ot``, which an owner writes: matched in linear time.

The engine takes them as ``std::regex`` (ECMAScript), which may need exponential time for a long name. RE2
agrees with it on whether a name matches, and refuses what it can't match in linear time: back-references,
look-ahead.
"""

import re2

from domain.errors import UsageError

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # they are raised


class TensorPattern:
    """Raises: UsageError for a pattern that is none, or that can't be matched in linear time."""

    def __init__(self, pattern: str) -> None:
        try:
            self._compiled = re2.compile(pattern, _OPTIONS)
        except re2.error as error:
            why = error.args[0].decode("utf-8", "replace") if error.args else "it is no pattern"
            raise UsageError(
                f"-ot {pattern}: {why}",
                hint="a pattern must match in linear time, without back-references and look-ahead",
            ) from error

    def is_in(self, name: str) -> bool:
        return self._compiled.search(name) is not None
