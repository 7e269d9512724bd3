"""Machines that plans are made for."""

import json
from functools import cache

from domain.machine.hardware import Hardware
from domain.serialization import from_json
from tests.conftest import ROOT

NAMES = ("n100-8gb", "rtx-3090", "strix-halo-128gb", "dual-rtx-3090")


@cache
def machine(name: str) -> Hardware:
    """A machine of ``config/profiles``."""
    return from_json(Hardware, json.loads((ROOT / "config" / "profiles" / f"{name}.json").read_text()))
