"""Completions for the shell. They never fail and never start a daemon."""

from domain.errors import NodeError

COMPLETION_TIMEOUT_S = 1.0


def launches(incomplete: str) -> list[str]:
    """Names of launches, none where no daemon runs."""
    from ctl.autostart import connect  # noqa: PLC0415 - --help does without

    try:
        rows = connect().get("/v1/launches", timeout_s=COMPLETION_TIMEOUT_S)
    except NodeError:
        return []
    return [row["name"] for row in rows if row["name"].startswith(incomplete)]


def clients(incomplete: str) -> list[str]:
    """Those that connect knows."""
    from ctl.connect.clients import CLIENTS  # noqa: PLC0415 - --help does without

    return [name for name in CLIENTS if name.startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Aliases of the catalogue."""
    from config import data  # noqa: PLC0415 - reads the catalogue

    return [alias for alias in data.catalogue() if alias.startswith(incomplete)]


def stored(incomplete: str) -> list[str]:
    """Downloaded weights, none where no daemon runs."""
    from ctl.autostart import connect  # noqa: PLC0415 - as above

    try:
        rows = connect().get("/v1/models", timeout_s=COMPLETION_TIMEOUT_S)
    except NodeError:
        return []
    return [row["model"] for row in rows if row["model"].lower().startswith(incomplete.lower())]


def recorded(incomplete: str) -> list[str]:
    """What history can be asked for."""
    from domain.telemetry import What  # noqa: PLC0415 - --help does without

    return [what for what in What if what.startswith(incomplete)]


def profiles(incomplete: str) -> list[str]:
    """Names of the built-in profiles."""
    from config import data  # noqa: PLC0415 - reads the profiles

    return [name for name in data.profile_names() if name.startswith(incomplete)]
