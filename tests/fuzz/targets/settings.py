"""The settings file, read with what is wrong in it taken out, and what ``config show`` prints of it."""

import json
import random
from collections.abc import Iterator
from functools import cache

from config import loading
from config.settings import Settings
from domain.errors import NodeError
from tests.fuzz.mutation import line_mutation
from tests.fuzz.scratch import scratch

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 8192
FILE = scratch("settings") / "config.toml"
loading.read_environment = cache(loading.read_environment)  # it stays the same, and takes most of the time
VALUES = (
    "true",
    "false",
    '"x"',
    "[1]",
    "{a = 1}",
    "1979-05-27",
    "0x10",
    "1_000",
    '"4 GB"',
    '"/"',
    '"01:00-06:00"',
    '"""',
)
_mutate_lines = line_mutation((*Settings.model_fields, *VALUES))


def seeds() -> Iterator[bytes]:
    yield b"""models_dir = "/srv/models"
offline = true
log_level = "debug"
host_reserve_bytes = "4 GB"
gpu_margin_bytes = 1073741824
port_first = 18100
port_last = 18199
ready_timeout_s = 900.0
download_limit = "20 MB"
download_window = "01:00-06:00"
hub_token = "hf_x"
"""
    yield b'catalogue = "/nonexistent.toml"\nport_last = 1\n[socket]\na = 1\n'


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_lines(data, rng)


def run(data: bytes) -> None:
    FILE.write_bytes(data)
    loaded = loading.read(FILE)
    json.dumps(loading.effective(loaded)).encode()
    for problem in loaded.problems:
        str(problem.as_error())
    _ = loaded.settings.download_policy, loaded.settings.places
