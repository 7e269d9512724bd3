"""JSON as the API sends it: any text that others wrote, in valid UTF-8."""

import json
from typing import Any

from fastapi.responses import JSONResponse

from domain.text import printable


def dump(value: Any) -> str:
    r"""JSON in one line. Characters that have no UTF-8 are shown as escapes: ``caf\xe9.gguf``."""
    return json.dumps(_printable(value))


class PrintableJSON(JSONResponse):
    def render(self, content: Any) -> bytes:
        return dump(content).encode()


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item) for item in value]
    return value
