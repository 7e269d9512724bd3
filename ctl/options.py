"""Arguments and options that several commands share, with their completion."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from ctl import completion
from domain.errors import UnknownLaunchError, UsageError
from domain.launches.serving import MAX_IDLE_S
from domain.units import parse_size

Json = Annotated[bool, typer.Option("--json", help="Print only JSON, in the documented format.")]

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, owner/repo[:quant], a path or a URL.",
        autocompletion=completion.models,
    ),
]
ModelWords = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="A name, owner/repo[:quant], a path or a URL; or words, to be offered what fits here.",
        autocompletion=completion.models,
    ),
]
StoredModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Weights as listed by models; a repository or an alias for all of its weights.",
        autocompletion=completion.stored,
    ),
]
Launch = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of a launch, as listed by ps.", autocompletion=completion.launches
    ),
]
Launches = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME", help="Names of launches, as listed by ps.", autocompletion=completion.launches
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the launch; default: of the model.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", min=1, help="Maximum length of an answer; default: none."),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", metavar="X", min=0, help="Sampling temperature; default: that of the engine."
    ),
]
System = Annotated[
    str | None, typer.Option("--system", metavar="TEXT", help="Instructions that come before the messages.")
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE",
        help="Another machine: the name of a profile, or a file written by probe --save.",
        autocompletion=completion.profiles,
    ),
]

TOKENS_MAX = 2**31  # limit of the daemon's API


def tokens(text: str | int) -> int:
    """``32768`` or ``32k`` -> 32768. An int is a default."""
    figure = str(text).strip().lower()
    digits, factor = (figure[:-1], 1024) if figure.endswith("k") else (figure, 1)
    if not digits.isdecimal() or not 1 <= int(digits[:12]) * factor <= TOKENS_MAX:
        raise typer.BadParameter(f"{text!r} is not a number of tokens such as 32768 or 32k")
    return int(digits) * factor


def size(text: str | int) -> int:
    """``4 GB`` or ``500MiB`` -> bytes. An int is a default."""
    try:
        return text if isinstance(text, int) else parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd]?)")
IN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str | float) -> float:
    """``30m`` -> 1800. A number is one of seconds."""
    found = DURATION.fullmatch(str(text).strip().lower())
    value = float(found[1]) * IN_SECONDS[found[2]] if found else 0
    if not 0 < value <= MAX_IDLE_S:
        raise typer.BadParameter(f"{text!r} is not a time such as 90s, 30m or 2h")
    return value


MAX_CONTEXT = "max"


def context(text: str) -> str:
    """``32k`` -> ``"32768"``; ``max`` stays."""
    if text.strip().lower() == MAX_CONTEXT:
        return MAX_CONTEXT
    try:
        return str(tokens(text))
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}, and not {MAX_CONTEXT}") from error


Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        parser=context,
        help="Context of each slot: 32768, 32k, or max for the longest that fits.",
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", metavar="N", min=1, max=1024, help="Requests served at the same time."),
]
MinDecode = Annotated[
    float | None, typer.Option("--min-decode", metavar="X", min=0.1, help="Minimum tokens per second.")
]
MinContext = Annotated[
    int | None,
    typer.Option(
        "--min-context", metavar="TOKENS", parser=tokens, help="Shortest context, also after memory ran out."
    ),
]
MinQuality = Annotated[
    str | None,
    typer.Option(
        "--min-quality",
        metavar="QUANT",
        help="Least quality, also after memory ran out: a quant, or best, high, balanced.",
    ),
]
Quality = Annotated[
    str | None,
    typer.Option(
        "--quality",
        metavar="QUANT",
        help="A quant, for example Q8_0, or what it may lose: best, high, balanced, fast, small.",
    ),
]
Quant = Annotated[str | None, typer.Option("--quant", metavar="QUANT", help="A quant, for example Q8_0.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as the daemon has accepted it.")]
FromDisk = Annotated[
    bool,
    typer.Option(
        "--from-disk", help="Accept a model larger than memory, which is read from the disk for each token."
    ),
]
Use = Annotated[
    Literal["chat", "agent", "batch"] | None,
    typer.Option(
        "--use",
        metavar="USE",
        help="What it is for: chat, agent (long prompts and contexts), or batch (nobody reads along).",
    ),
]
NoMmproj = Annotated[
    bool, typer.Option("--no-mmproj", help="Serve a model that reads images without its projector.")
]
NoDraft = Annotated[
    bool,
    typer.Option("--no-draft", help="Draft no tokens, neither with the model's own head nor a second model."),
]
Serving = Annotated[
    Literal["on-demand", "always", "never"] | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="always: served until it is stopped (default). on-demand: a request starts it, and it stops "
        "when idle or to make room. never: nothing but node-ctl starts it, not even a boot.",
    ),
]
Idle = Annotated[
    float | None,
    typer.Option(
        "--idle",
        metavar="TIME",
        parser=seconds,
        help="How long an on-demand model may be idle before it stops: 30m, 2h, 90s.",
    ),
]
Rank = Annotated[
    int | None,
    typer.Option(
        "--priority",
        metavar="N",
        min=-100,
        max=100,
        help="Those with less make room first; default: 0.",
    ),
]
Pin = Annotated[
    bool | None,
    typer.Option("--pin/--no-pin", help="Keep it: it is not stopped to make room, nor when it is idle."),
]
Tenants = Annotated[
    Literal["yield", "wait", "ignore"] | None,
    typer.Option(
        "--tenants",
        metavar="POLICY",
        help="When another program wants its GPU's memory: yield (unload it until that leaves), wait "
        "(keep it, the default) or ignore.",
    ),
]
Engine = Annotated[
    Literal["llama.cpp", "vllm"] | None,
    typer.Option("--engine", metavar="ENGINE", help="Engine to use: llama.cpp or vllm."),
]


def launch_path(name: str) -> str:
    """The path of the launch ``name`` in the API. Raises: UnknownLaunchError for an impossible name."""
    if not name or "/" in name:  # the API would answer about an unknown path
        raise UnknownLaunchError(f"no launch is called {name!r}", hint="node-ctl ps lists them")
    return f"/v1/launches/{quote(name, safe='', errors='replace')}"


def absolute_model(model: str) -> str:
    """``model``, made absolute where it is a path: the daemon has another working directory and home.

    Raises: UsageError for an empty name."""
    if not model.strip():
        raise UsageError(
            "the name of the model is empty", hint="use a name, owner/repo[:quant], a path or a URL"
        )
    if model.startswith(("http://", "https://", "pypi:")):
        return model
    if model.startswith((".", "~")) or model.endswith(".gguf") or _is_path_here(model):
        return os.path.abspath(os.path.expanduser(model))  # noqa: PTH100, PTH111 - Path.resolve follows links
    return model


def _is_path_here(name: str) -> bool:
    """Never for ``owner/repo``, which is a repository: the folder of that name is ``./owner/repo``."""
    return name.count("/") > 1 and Path(name).exists()


def with_quant(quality: str | None, quant: str | None) -> str | None:
    """``--quant`` is a ``--quality`` that names a quant. Raises: BadParameter where both are given."""
    if quality is not None and quant is not None:
        raise typer.BadParameter("--quality and --quant exclude each other")
    return quality if quant is None else quant


def launch_options(
    context: str | None,
    parallel: int | None,
    min_decode: float | None,
    quality: str | None,
    engine: str | None,
    *,
    from_disk: bool = False,
    use: str | None = None,
    no_mmproj: bool = False,
    no_draft: bool = False,
    min_context: int | None = None,
    min_quality: str | None = None,
) -> dict[str, object]:
    """The options as the daemon's API names them, without those that were not given."""
    options: dict[str, object | None] = {
        "context_tokens": int(context) if context and context != MAX_CONTEXT else context,
        "parallel": parallel,
        "min_decode_tokens_per_s": min_decode,
        "quality": quality,
        "engine": engine,
        "from_disk": from_disk or None,
        "use": use,
        "no_mmproj": no_mmproj or None,
        "no_draft": no_draft or None,
        "min_context_tokens": min_context,
        "min_quality": min_quality,
    }
    return {key: value for key, value in options.items() if value is not None}
