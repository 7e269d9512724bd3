"""The names of launches, valid as the names of a file, a unit and a model."""

import re

from catalog import names
from domain.anonymize import without_secrets
from domain.errors import NodeError, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def checked_name(name: str) -> str:
    """``name``, if it is valid. Raises: UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be the name of a launch",
            hint="lower-case letters, digits, '.', '_' and '-', at most 63 of them",
        )
    return name


def name_of(model: str) -> str:
    """``owner/Some-Model-GGUF:Q4_K_M`` -> ``some-model-gguf``, ``/m/tiny.gguf`` -> ``tiny``."""
    model = _of_hub(model) or without_secrets(model).removesuffix("?...")
    last = model.rstrip("/").rsplit("/", 1)[-1].rsplit("#", 1)[-1]
    stem = last.lower().removesuffix(".gguf").split(":")[0].split("@")[0]
    return checked_name(re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:63] or "model")


def _of_hub(model: str) -> str | None:
    """The repository or file on the hub that ``model`` names, without a revision; ``None`` for other
    names."""
    try:
        target = names.parse(model).target
    except NodeError:  # resolving the name raises it again, and reports it
        return None
    return target.file or target.repo if isinstance(target, names.Repo) else None
