"""Who is let in: programs on this machine without a key, and others with one; no web page in any case."""

from collections.abc import Mapping

from daemon.access import keys
from daemon.app import App
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.listener.origins import check_host, check_origin, is_loopback

BEARER = "bearer "
# By these a proxy names the client that it asks for: its own connection comes from this machine.
FORWARDED_FOR = (b"x-forwarded-for", b"x-real-ip", b"forwarded")
# And these say that there is one, which does not name its client.
OF_PROXIES = (b"via", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server")


async def admit(app: App, peer: str, headers: Mapping[bytes, bytes], version: str = "1.1") -> str | None:
    """The name of the key of the request, ``None`` for one of this machine without a valid one. ``version``
    is that of HTTP: nginx asks with 1.0 unless it is told otherwise, and names no client.

    On this machine a key is not needed, and clients that must have one send any text. Raises: GatewayError.
    """
    host, origin = _text(headers, b"host"), _text(headers, b"origin")
    check_origin(host, origin)
    key = key_in(headers)
    owner = await keys.owner_of(app, key) if key else None
    if owner is not None:
        return owner
    if not is_loopback(peer) or version == "1.0" or not _is_asked_for_loopback(headers):
        what = "the key of the request is not valid" if key else "the request has no key"
        message = f"{what}: send Authorization: Bearer KEY or x-api-key; node-ctl keys add NAME makes one"
        raise GatewayError(Reason.UNAUTHORIZED, message)
    check_host(host)
    return None


def _is_asked_for_loopback(headers: Mapping[bytes, bytes]) -> bool:
    """False for a request that a proxy passes on for a client that is not on this machine."""
    if any(name in headers for name in OF_PROXIES) and not any(name in headers for name in FORWARDED_FOR):
        return False
    named = [part.strip() for name in FORWARDED_FOR for part in _text(headers, name).split(",")]
    return all(is_loopback(address) for address in named if address)


def key_in(headers: Mapping[bytes, bytes]) -> str:
    """OpenAI's clients and Ollama's send it as a bearer, Anthropic's as x-api-key, too."""
    if key := _text(headers, b"x-api-key"):
        return key.strip()
    words = _text(headers, b"authorization")
    return words[len(BEARER) :].strip() if words.lower().startswith(BEARER) else ""


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
