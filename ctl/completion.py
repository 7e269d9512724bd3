"""What the shell offers for an argument. A completion never fails and never starts anything."""

from domain.errors import NodeError

COMPLETION_TIMEOUT_S = 1.0


def launches(incomplete: str) -> list[str]:
    """Names that the daemon knows, none where no daemon runs."""
    from ctl.autostart import daemon  # noqa: PLC0415 - help lists the options without asking anyone

    try:
        rows = daemon().get("/v1/launches", timeout_s=COMPLETION_TIMEOUT_S)
    except NodeError:
        return []
    return [row["name"] for row in rows if row["name"].startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Aliases of the catalogue."""
    from config import data  # noqa: PLC0415 - reads the catalogue, for a completion alone

    return [alias for alias in data.catalogue() if alias.startswith(incomplete)]


def stored(incomplete: str) -> list[str]:
    """Weights on this disk, none where no daemon runs."""
    from ctl.autostart import daemon  # noqa: PLC0415 - as above

    try:
        rows = daemon().get("/v1/models", timeout_s=COMPLETION_TIMEOUT_S)
    except NodeError:
        return []
    return [row["model"] for row in rows if row["model"].lower().startswith(incomplete.lower())]


def profiles(incomplete: str) -> list[str]:
    """Machines that ship as profiles."""
    from config import data  # noqa: PLC0415 - reads the profiles, for a completion alone

    return [name for name in data.profile_names() if name.startswith(incomplete)]
