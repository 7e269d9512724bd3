"""Facts about versions: those with known issues, and the first CUDA version that supports a GPU."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from domain.models.catalogue_types import KnownIssue
from domain.serialization import from_json

FILE = Path(__file__).parent / "known_versions.toml"


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text())


def known_issues() -> tuple[KnownIssue, ...]:
    return tuple(from_json(KnownIssue, entry) for entry in _table()["trouble"])


def cuda_since() -> dict[str, str]:
    """The version by the GPU's architecture: ``{"sm_120": "12.8"}``."""
    return {arch: version for arch, version in _table()["cuda_since"].items() if arch != "source"}
