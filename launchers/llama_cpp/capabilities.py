"""What a llama-server build reports about itself: version, options, devices."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from domain.errors import EngineError
from domain.launches.engine_build import EngineDevice
from domain.launches.plan import LLAMA_CPP
from domain.units import MIB
from launchers import query
from launchers.base import Capabilities
from launchers.llama_cpp.build import (
    compiled_instructions,
    cpu_flags,
    environment,
    missing_instructions,
    wheel_version,
)
from launchers.llama_cpp.flags import FLAGS, LOAD_MODE
from launchers.llama_cpp.help import parse_help
from launchers.llama_cpp.options import word_counts

log = logging.getLogger(__name__)

VERSION = re.compile(r"version: (\S+)(?: \((?:build (\d+), commit )?([0-9a-f]+)\))?")
DEVICE = re.compile(r"^\s+([A-Za-z]+\d+): (.*?)(?: \((\d{1,15}) MiB, (\d{1,15}) MiB free\))?$", re.MULTILINE)
QUESTION_TIMEOUT_S = 20.0
DEVICES_TIMEOUT_S = 60.0  # a first call may load a large driver


def inspect(path: str, *, cache_dir: Path | None = None) -> Capabilities:
    try:
        version = _answer(path, ("--version",), cache_dir)
        options = parse_help(_answer(path, ("--help",), cache_dir))
        devices = parse_devices(_answer(path, ("--list-devices",), timeout_s=DEVICES_TIMEOUT_S))
    except OSError as error:
        raise EngineError(
            f"{path}: {error.strerror}", hint="set llama_server in the settings", cause="missing"
        ) from error
    if not any("--model" in option.names for option in options):
        raise EngineError(f"{path} is not a llama-server: its --help has no --model", cause="no_answer")
    system_info = _system_info(path)
    missing = missing_instructions(system_info, cpu_flags())
    flags = frozenset(name for option in options for name in option.names)
    return Capabilities(
        engine=LLAMA_CPP,
        path=path,
        version=wheel_version(Path(path)) or parse_version(version),
        flags=flags,
        values={name: option.values for option in options if option.values for name in option.names},
        devices=devices,
        backends=_backends(Path(path), devices, flags),
        instructions=compiled_instructions(system_info),
        problem=f"built for a CPU with {', '.join(missing)}, which this one lacks" if missing else None,
        env=environment(path),
    )


def _answer(
    path: str, question: Sequence[str], cache_dir: Path | None = None, *, timeout_s: float | None = None
) -> str:
    limit_s = timeout_s or QUESTION_TIMEOUT_S
    return query.answer(path, question, timeout_s=limit_s, env=environment(path), cache_dir=cache_dir)


def _system_info(path: str) -> str:
    """A build prints its instruction sets only when it loads a model; /dev/null fails after 0.05 s. Empty for
    a build that does not print them."""
    try:
        return query.answer(
            path,
            ("--model", "/dev/null", "--port", "0", "--verbosity", "4"),
            timeout_s=QUESTION_TIMEOUT_S,
            env=environment(path),
            statuses=(0, 1),
            is_whole=lambda told: compiled_instructions(told) is not None,
        )
    except EngineError as error:
        log.warning("instruction sets of a build not known: path=%s error=%s", path, error)
        return ""


def assume() -> Capabilities:
    """A current build: every option of the table but those that --load-mode replaces."""
    values = {name: flag.values for flag in FLAGS if flag.values for name in flag.names}
    return Capabilities(
        engine=LLAMA_CPP,
        path="llama-server",
        flags=frozenset(word_counts()) - {"--mlock", "--mmap", "--no-mmap"} | set(LOAD_MODE),
        values=values,
    )


def parse_version(output: str) -> str | None:
    """``version: 11434 (1234abc)`` -> ``b11434``; the commit for a build without a number."""
    match = VERSION.search(output)
    if match is None:
        return None
    version, _, commit = match.groups()
    if re.fullmatch(r"[0-9]{1,15}", version) and int(version) > 1:
        return f"b{version}"
    return commit or version


def parse_devices(output: str) -> tuple[EngineDevice, ...]:
    """``  Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 23100 MiB free)``."""
    return tuple(
        EngineDevice(
            name=name,
            description=description,
            total_bytes=int(total) * MIB if total else None,
            free_bytes=int(free) * MIB if free else None,
        )
        for name, description, total, free in DEVICE.findall(output)
    )


def _backends(path: Path, devices: Iterable[EngineDevice], flags: frozenset[str]) -> tuple[str, ...]:
    """From its present devices, the libraries beside it, and its options."""
    names = {device.name.rstrip("0123456789").lower() for device in devices}
    names |= {
        file.name.removeprefix("libggml-").partition(".")[0] for file in path.parent.glob("libggml-*.so*")
    }
    backends = {name.partition("-")[0] for name in names} - {"base"}
    return tuple(sorted(backends | {"cpu"} | ({"rpc"} if "--rpc" in flags else set())))
