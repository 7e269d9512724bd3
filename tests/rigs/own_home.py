"""The environment of a daemon, and of its clients, in a home of its own."""

import os
from pathlib import Path


def environment(home: Path, **more: str) -> dict[str, str]:
    """This one without what says where a daemon of its user is, and with its socket at ``home / "s"``."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("NODE_DAEMON_", "XDG_"))}
    return {**own, "HOME": str(home), "NODE_DAEMON_SOCKET": str(home / "s"), **more}
