"""``node-ctl engines``."""

from collections.abc import Iterator
from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.options import Json
from ctl.show.formatting import decode, wrap
from ctl.terminal import columns, print_json, sanitize
from domain.launches.engine_build import EngineBuild, EngineDevice, Origin
from domain.units import gib

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl engines
  node-ctl engines --architecture qwen35     # the builds that know the architecture
"""
ORIGINS = {
    Origin.SETTINGS: "named in the settings",
    Origin.SEARCH_PATH: "found on the PATH",
    Origin.ENVIRONMENT: "in an environment made for engines",
    Origin.INCLUDED: "included",
}


def command(
    *,
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture", metavar="NAME", help="Only builds that know models of this architecture."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Builds of llama.cpp and vLLM on this machine, of each engine the one that is tried first at the top.

    Each with its version, path, devices, what it needs of the CPU, and the launches that it serves. NAME is
    as a GGUF file or config.json has it. Builds that do not tell what they know are listed, too.
    """
    rows = connect_or_start().get("/v1/engines")
    shown = [row for row in rows if architecture in (None, *(row["architectures"] or (architecture,)))]
    if as_json:
        print_json(shown)
        return
    lines = [line for row in shown for line in (*build_lines(decode(EngineBuild, row)), "")][:-1]
    print("\n".join(wrap(lines, columns(), indent=10)) if lines else _none(architecture, bool(rows)))


def _none(architecture: str | None, has_builds: bool) -> str:
    if architecture is not None and has_builds:
        newer = "install a newer llama.cpp on the PATH, or vLLM (make setup-vllm)"
        return f"no build here knows {sanitize(architecture)}: {newer}"
    return "no engine is installed: make venv, or set llama_server to a llama-server in the settings"


def build_lines(build: EngineBuild) -> Iterator[str]:
    first = f"{build.engine} {build.version or 'of an unknown version'}, {ORIGINS[build.origin]}"
    yield f"{sanitize(first)}{', the default' if build.is_default else ''}"
    yield f"  path    {sanitize(build.path)}"
    if build.problem:
        yield f"  problem {sanitize(build.problem)}"
    if build.backends:
        yield f"  backend {', '.join(map(sanitize, build.backends))}"
    yield from (f"  device  {_device(device)}" for device in build.devices)
    if build.instructions:
        yield f"  CPU     compiled for {', '.join(map(sanitize, build.instructions))}"
    if build.architectures:
        yield f"  models  {len(build.architectures)} architectures; --json lists them"
    if build.used_by:
        yield f"  serves  {', '.join(map(sanitize, build.used_by))}"


def _device(device: EngineDevice) -> str:
    size = "" if device.total_bytes is None else f", {gib(device.total_bytes)}"
    return sanitize(f"{device.name} {device.description}".strip()) + size
