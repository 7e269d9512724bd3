"""Arguments and options that several commands share, and what completes them."""

import os
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from ctl import completion
from domain.errors import UnknownLaunchError, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, in the documented shape, and nothing else.")]

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, owner/repo[:quant], a path or a URL.",
        autocompletion=completion.models,
    ),
]
Stored = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Weights as models lists them, a repository or an alias for all of its.",
        autocompletion=completion.stored,
    ),
]
Launch = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The name of a launch, as ps lists it.", autocompletion=completion.launches
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE",
        help="Another machine: the name of a profile, or a file that probe --save wrote.",
        autocompletion=completion.profiles,
    ),
]

MOST_TOKENS = 2**31  # of the daemon's API


def tokens(text: str | int) -> int:
    """``32768``, or ``32k`` for the same. A default that is an int comes through here, too."""
    figure = str(text).strip().lower()
    digits, factor = (figure[:-1], 1024) if figure.endswith("k") else (figure, 1)
    if not digits.isdecimal() or not 1 <= int(digits[:12]) * factor <= MOST_TOKENS:
        raise typer.BadParameter(f"{text!r} is no count of tokens: give 32768 or 32k")
    return int(digits) * factor


Context = Annotated[
    int | None,
    typer.Option(
        "--context", metavar="TOKENS", parser=tokens, help="Context that each slot must hold: 32768 or 32k."
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", metavar="N", min=1, max=1024, help="Requests that are served at once."),
]
MinDecode = Annotated[
    float | None, typer.Option("--min-decode", metavar="X", min=0.1, help="Least tokens per second.")
]
Quality = Annotated[
    str | None,
    typer.Option(
        "--quality",
        metavar="QUANT",
        help="A quant, for example Q8_0; or how good at least: best, high, balanced, small.",
    ),
]
FromDisk = Annotated[
    bool,
    typer.Option(
        "--from-disk", help="Where the model is larger than memory, read it from the disk for each token."
    ),
]
Engine = Annotated[
    Literal["llama.cpp", "vllm"] | None,
    typer.Option("--engine", metavar="ENGINE", help="The engine to use: llama.cpp or vllm."),
]


def launch_path(name: str) -> str:
    """Where the API has the launch ``name``. Raises: UnknownLaunchError for what no launch can be called."""
    if not name or "/" in name:  # no path of the API: its answer would be about the path
        raise UnknownLaunchError(f"no launch is called {name!r}", hint="node-ctl ps lists them")
    return f"/v1/launches/{quote(name, safe='')}"


def located(model: str) -> str:
    """``model``, absolute where it is a path: the daemon has another working folder and another home.

    Raises: UsageError for no name at all."""
    if not model.strip():
        raise UsageError("the name of the model is empty", hint="a name, owner/repo[:quant], a path or a URL")
    if model.startswith(("http://", "https://", "pypi:")):
        return model
    if model in (".", "..") or model.startswith(("./", "../", "~")) or model.endswith(".gguf"):
        return os.path.abspath(os.path.expanduser(model))  # noqa: PTH100, PTH111 - Path.resolve follows links
    return model


def wish(
    context: int | None,
    parallel: int | None,
    min_decode: float | None,
    quality: str | None,
    engine: str | None,
    *,
    from_disk: bool = False,
) -> dict[str, object]:
    """What was asked for, as the daemon's requests name it; what was left open is left out."""
    asked: dict[str, object | None] = {
        "context_tokens": context,
        "parallel": parallel,
        "min_decode_tokens_per_s": min_decode,
        "quality": quality,
        "engine": engine,
        "from_disk": from_disk or None,
    }
    return {key: value for key, value in asked.items() if value is not None}
