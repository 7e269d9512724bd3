"""Who may ask without a key: programs on this machine, and no web page that a browser here shows.

Pure. A page can make a browser send requests to a loopback address: as another origin, or, once its own
name resolves to 127.0.0.1 (DNS rebinding), as the same one.
"""

import ipaddress
from urllib.parse import urlsplit

from daemon.gateway.errors import GatewayError, Reason

WEB = frozenset({"http", "https", ""})  # a page from the web; "null" of a sandboxed one has no scheme


def is_loopback(host: str) -> bool:
    """Of an address, or a name that resolvers keep on this machine (RFC 6761)."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback  # ::ffff:127.0.0.1 of a client at [::]


def check_host(host: str) -> None:
    """``host`` is the header of a request from this machine without a key. Raises: GatewayError."""
    name = host_name(host)
    if name and not is_loopback(name):
        raise GatewayError(
            Reason.FORBIDDEN,
            f"the request names the host {name[:100]!r}: without a key, only localhost is answered",
        )


def check_origin(host: str, origin: str) -> None:
    """``host`` and ``origin`` are the headers of a request, empty where it has none. Raises: GatewayError."""
    if not origin:
        return
    try:
        parts = urlsplit(origin)
        same = parts.netloc.lower() == host.lower() and bool(host)
    except ValueError:
        parts, same = urlsplit(""), False
    if parts.scheme in WEB and not same:
        raise GatewayError(Reason.FORBIDDEN, f"requests of web pages are refused: origin {origin[:100]}")


def host_name(host: str) -> str:
    """``[::1]:8411`` -> ``::1``, ``localhost:8411`` -> ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() and ":" not in name else host
