"""``node-ctl estimate``."""

from pathlib import Path
from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.options import Engine, Json, Model, On, absolute_model
from ctl.profile import profile_json
from ctl.show.plan import estimate_lines
from ctl.terminal import columns, print_json
from domain.errors import UsageError

FILES = ("--mmproj", "-mm", "--model-draft", "--spec-draft-model", "-md")
JOINED = tuple(f"{name}=" for name in FILES if name.startswith("--"))
USAGE = "MODEL [OPTIONS] [-- ENGINE-ARGS]"
EXAMPLES = """
  node-ctl estimate smollm2-135m -- -c 8192 -t 2
  node-ctl estimate gpt-oss-20b --on rtx-3090 --depth 16000 -- -ngl 99 -c 32768 -fa on
  node-ctl estimate gpt-oss-120b --gpus 2 -- -ngl 99 --n-cpu-moe 20
  node-ctl estimate ./folder --engine vllm -- --max-model-len 8192 --tensor-parallel-size 2
"""


def command(
    *,
    model: Model,
    args: Annotated[
        list[str] | None, typer.Argument(metavar="ENGINE-ARGS", help="Options of the engine.")
    ] = None,
    on: On = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", metavar="N", min=0, max=64, help="Assume N GPUs of unknown size.")
    ] = None,
    depth: Annotated[
        int,
        typer.Option("--depth", metavar="TOKENS", min=0, help="Tokens in the context for the speed."),
    ] = 0,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Computes memory for each device, and speed, for the options of llama-server or ``vllm serve`` after
    ``--``. Uses the quant on this disk, else the one that plan would choose; MODEL:QUANT names another."""
    if on is not None and gpus is not None:
        raise UsageError("--on and --gpus exclude each other", hint="a profile has its own GPUs")
    body: dict[str, object] = {
        "model": absolute_model(model),
        "args": absolute_paths(args or []),
        **profile_json(on),
    }
    if gpus is not None:
        body["gpus"] = gpus
    if depth:
        body["depth_tokens"] = depth
    if engine is not None:
        body["engine"] = engine
    data = connect_or_start().post("/v1/estimate", body)
    if as_json:
        print_json(data)
    else:
        print("\n".join(estimate_lines(data, columns())))


def absolute_paths(args: list[str]) -> list[str]:
    """``args`` with absolute paths of files: the daemon has another working directory."""
    words = [word for arg in args for word in (arg.split("=", 1) if arg.startswith(JOINED) else [arg])]
    pairs = zip(["", *words], words, strict=False)
    return [str(Path(word).absolute()) if option in FILES else word for option, word in pairs]
