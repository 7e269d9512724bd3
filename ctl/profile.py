"""``--on PROFILE``: another machine, sent with the request."""

from domain.serialization import to_json


def profile_json(name_or_path: str | None) -> dict[str, object]:
    """The ``on`` of a request, empty for this machine. Raises: UsageError for an unknown profile."""
    if name_or_path is None:
        return {}
    from config import data  # noqa: PLC0415 - only --on reads the profiles

    return {"on": to_json(data.profile(name_or_path))}
