"""``node-ctl engines``."""

import json
import os
from collections.abc import Iterator
from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.command_group import CommandGroup
from ctl.exit_codes import exit_status
from ctl.options import Json
from ctl.show.formatting import ago, decode, wrap
from ctl.terminal import columns, print_json, sanitize
from domain.errors import EngineError
from domain.launches.engine_build import EngineBuild, EngineDevice, EngineProof, Origin
from domain.serialization import to_json
from domain.units import duration, gib, rate

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog="""\b
Examples:
  node-ctl engines
  node-ctl engines --architecture qwen35     # the builds that know the architecture
  node-ctl engines check                     # loads a small model with each, and asks it a question
""",
)

ANSWER_CHARS = 40
ORIGINS = {
    Origin.SETTINGS: "named in the settings",
    Origin.SEARCH_PATH: "found on the PATH",
    Origin.ENVIRONMENT: "in an environment made for engines",
    Origin.INCLUDED: "included",
}


@app.callback()
def list_builds(
    context: typer.Context,
    *,
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture", metavar="NAME", help="Only builds that know models of this architecture."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the builds of llama.cpp and vLLM on this machine, of each engine the one that is tried first at
    the top.

    Each with its version, path, devices, what it needs of the CPU, and the launches that it serves. NAME is
    as a GGUF file or config.json has it. Builds that do not tell what they know are listed, too.
    """
    if context.invoked_subcommand is not None:
        return
    rows = connect_or_start().get("/v1/engines")
    shown = [row for row in rows if architecture in (None, *(row["architectures"] or (architecture,)))]
    if as_json:
        print_json(shown)
        return
    lines = [line for row in shown for line in (*build_lines(decode(EngineBuild, row)), "")][:-1]
    print("\n".join(wrap(lines, columns(), indent=10)) if lines else _none(architecture, bool(rows)))


@app.command()
def check(
    *,
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="One build, as node-ctl engines lists its path.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="What to load; default: the smallest on this disk."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a model with each build of llama.cpp, or one, and ask it a question with a known answer.

    Exit status 6 if one of them can't. What runs is not touched; the model must fit beside it.
    """
    place = None if path is None else os.path.realpath(path)
    body = {key: value for key, value in (("path", place), ("model", model)) if value is not None}
    proofs = []
    for line in connect_or_start().lines("/v1/engines/check", body):
        proofs.append(decode(EngineProof, json.loads(line)))
        if not as_json:
            print("\n".join(wrap(list(check_lines(proofs[-1])), columns(), indent=10)), flush=True)
    if as_json:
        print_json([to_json(proof) for proof in proofs])
    if any(proof.error for proof in proofs):
        raise typer.Exit(exit_status(EngineError.code))


def check_lines(proof: EngineProof) -> Iterator[str]:
    yield sanitize(f"{proof.path}  {proof.version or 'of an unknown version'}")
    yield f"  {'failed ' if proof.error else 'proved '} {proved(proof)}"
    if proof.hint:
        yield f"  hint    {sanitize(proof.hint)}"


def proved(proof: EngineProof) -> str:
    """``answers "The capital of France is Paris.", 91 tokens/s, loaded in 0.4 s, with smollm2-135m``."""
    if proof.error:
        return sanitize(f"{proof.error}, with {proof.model}")
    answer = proof.answer or ""
    shown = answer if len(answer) <= ANSWER_CHARS else f"{answer[:ANSWER_CHARS]}..."
    parts = [f'answers "{shown}"', f"{rate(proof.decode_tokens_per_s)} tokens/s"]
    parts += [] if proof.load_s is None else [f"loaded in {duration(proof.load_s)}"]
    return sanitize(f"{', '.join(parts)}, with {proof.model}")


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
    if build.proof:
        how = "failed " if build.proof.error else "proved "
        yield f"  {how} {ago(build.proof.at)} ago: {proved(build.proof)}"
    if build.used_by:
        yield f"  serves  {', '.join(map(sanitize, build.used_by))}"


def _device(device: EngineDevice) -> str:
    size = "" if device.total_bytes is None else f", {gib(device.total_bytes)}"
    return sanitize(f"{device.name} {device.description}".strip()) + size
