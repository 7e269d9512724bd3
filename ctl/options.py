"""Arguments and options that several commands share, and what completes them."""

import os
from typing import Annotated

import typer

from ctl import complete

Json = Annotated[bool, typer.Option("--json", help="Print JSON, in the documented shape, and nothing else.")]

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, owner/repo[:quant], a path or a URL.",
        autocompletion=complete.models,
    ),
]
Launch = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The name of a launch, as ps lists it.", autocompletion=complete.launches
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE",
        help="Another machine: the name of a profile, or a file that probe --json wrote.",
        autocompletion=complete.profiles,
    ),
]
Context = Annotated[
    int | None, typer.Option("--context", metavar="TOKENS", min=1, help="Context that each slot must hold.")
]
Parallel = Annotated[
    int | None, typer.Option("--parallel", metavar="N", min=1, help="Requests that are served at once.")
]
MinDecode = Annotated[
    float | None, typer.Option("--min-decode", metavar="X", min=0, help="Least tokens per second.")
]
Quality = Annotated[
    str | None, typer.Option("--quality", metavar="QUANT", help="The quant to use, for example Q8_0.")
]
Engine = Annotated[
    str | None, typer.Option("--engine", metavar="ENGINE", help="The engine to use: llama.cpp or vllm.")
]


def located(model: str) -> str:
    """``model``, absolute where it is a path: the daemon has another working folder and another home."""
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
) -> dict[str, object]:
    """What was asked for, as the daemon's requests name it; what was left open is left out."""
    asked: dict[str, object | None] = {
        "context_tokens": context,
        "parallel": parallel,
        "min_decode_tokens_per_s": min_decode,
        "quality": quality,
        "engine": engine,
    }
    return {key: value for key, value in asked.items() if value is not None}
