"""The address of this machine in the network that it is in."""

import socket

SOMEWHERE = ("192.0.2.1", 9)  # of a network for documentation (RFC 5737): it is looked up, nothing is sent


def own_address() -> str | None:
    """The one from which packets leave; ``None`` without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
        try:
            prober.connect(SOMEWHERE)
            host: str = prober.getsockname()[0]
        except OSError:
            return None
    return None if host.startswith(("127.", "0.")) else host
