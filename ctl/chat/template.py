"""What a served model's chat template can do, as its engine says."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

from domain.units import MIB

TIMEOUT_S = 5.0
MAX_BYTES = 8 * MIB


def template_of(base: str, name: str) -> dict[str, Any] | None:
    """``{"bytes", "caps", "modalities"}``; ``None`` for an engine that does not say, as vLLM, or is busy.

    Source: llama-server's GET /props, which the gateway answers, too."""
    url = urlsplit(base)
    connection = HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/props?model={quote(name)}")
        response = connection.getresponse()
        props = json.loads(response.read(MAX_BYTES)) if response.status == 200 else {}
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    if not isinstance(props, dict) or not isinstance(props.get("chat_template"), str):
        return None
    return {
        "bytes": len(props["chat_template"].encode()),
        "caps": _true(props.get("chat_template_caps")),
        "modalities": _true(props.get("modalities")),
    }


def template_text(template: dict[str, Any]) -> str:
    caps = ", ".join(cap.removeprefix("supports_").replace("_", " ") for cap in template["caps"])
    reads = ", ".join(["text", *template["modalities"]])
    return f"{template['bytes']} bytes, supports {caps or 'nothing besides messages'}; takes {reads}"


def _true(flags: object) -> list[str]:
    return [str(name) for name, value in flags.items() if value is True] if isinstance(flags, dict) else []
