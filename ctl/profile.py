"""``--on PROFILE``: another machine, sent along with the question."""

from domain.serialization import to_json


def profile_json(name_or_path: str | None) -> dict[str, object]:
    """The ``on`` of a request; nothing for this machine. Raises: UsageError for no such profile."""
    if name_or_path is None:
        return {}
    from config import data  # noqa: PLC0415 - a plan for this machine does not read the profiles

    return {"on": to_json(data.profile(name_or_path))}
