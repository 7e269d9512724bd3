"""The address that the gateway listens on, as an owner writes it."""

import ipaddress
import re
from dataclasses import dataclass

OFF = "off"
_FORM = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[^\[\]:\s]{1,255})):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` is an address in numbers. ``port`` 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_everywhere(self) -> bool:
        """It stands for every address of this machine."""
        return ipaddress.ip_address(self.host).is_unspecified


def parse_address(text: str) -> Address | None:
    """``127.0.0.1:8411``, ``localhost:8411`` or ``[::1]:8411``; ``None`` for ``off``. Raises: ValueError."""
    if text.strip().lower() == OFF:
        return None
    match = _FORM.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ValueError("expected an address with a port, such as 127.0.0.1:8411, or off")
    host = match["v6"] or match["host"]
    host = "127.0.0.1" if host.lower() == "localhost" else host
    try:
        return Address(str(ipaddress.ip_address(host)), int(match["port"]))
    except ValueError:
        raise ValueError(f"{host} is not an address in numbers, such as 127.0.0.1 or 192.168.1.20") from None
