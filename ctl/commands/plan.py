"""``node-ctl plan``."""

from typing import Annotated

import typer

from ctl.autostart import daemon_or_start
from ctl.options import (
    Context,
    Engine,
    FromDisk,
    Json,
    MinDecode,
    Model,
    On,
    Parallel,
    Quality,
    located,
    wish,
)
from ctl.profile import profile_json
from ctl.show.formatting import shape
from ctl.show.plan import command_line, explained, five_lines
from ctl.terminal import print_json
from domain.plan import Plan

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl plan smollm2-135m
  node-ctl plan gpt-oss-120b --explain
  node-ctl plan unsloth/Qwen3-8B-GGUF:Q4_K_M --context 32768 --min-decode 10
  node-ctl plan gpt-oss-20b --on strix-halo-128gb --json
"""


def command(
    *,
    model: Model,
    on: On = None,
    context: Context = None,
    parallel: Parallel = None,
    min_decode: MinDecode = None,
    quality: Quality = None,
    engine: Engine = None,
    from_disk: FromDisk = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the reasons, and what was not chosen.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Chooses quant, context, KV type, split and threads. Nothing is downloaded but the model's header."""
    body = {
        "model": located(model),
        **profile_json(on),
        **wish(context, parallel, min_decode, quality, engine, from_disk=from_disk),
    }
    data = daemon_or_start().post("/v1/plan", body)
    if as_json:
        print_json(data)
        return
    plan = shape(Plan, data)
    lines = [*five_lines(plan), "", command_line(plan)]
    if explain:
        lines += explained(plan)
    print("\n".join(lines))
