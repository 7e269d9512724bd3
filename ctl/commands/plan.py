"""``node-ctl plan``."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect_or_start
from ctl.client import AnswerError, Daemon
from ctl.launching.offers import offered
from ctl.options import (
    Context,
    Engine,
    FromDisk,
    Json,
    MinContext,
    MinDecode,
    MinQuality,
    ModelWords,
    NoDraft,
    NoMmproj,
    On,
    Parallel,
    Quality,
    Quant,
    Use,
    absolute_model,
    launch_options,
    with_quant,
)
from ctl.profile import profile_json
from ctl.show.formatting import decode, wrap
from ctl.show.plan import command_lines, explanation_lines, legend_line, shortfall_lines, summary_lines
from ctl.terminal import columns, print_json
from domain.launches.plan import Plan
from domain.launches.shortfall import Shortfall

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl plan smollm2-135m
  node-ctl plan gpt-oss-120b --explain
  node-ctl plan unsloth/Qwen3-8B-GGUF:Q4_K_M --context 32768 --min-decode 10
  node-ctl plan gpt-oss-20b --on strix-halo-128gb --json
"""


def _planned(daemon: Daemon, body: dict[str, Any], *, as_json: bool) -> Any:
    try:
        return daemon.post("/v1/plan", body)
    except AnswerError as error:
        return daemon.post("/v1/plan", offered(daemon, "plan", body, error, as_json=as_json))


def command(
    *,
    model: ModelWords,
    on: On = None,
    context: Context = None,
    parallel: Parallel = None,
    min_decode: MinDecode = None,
    min_context: MinContext = None,
    min_quality: MinQuality = None,
    quality: Quality = None,
    quant: Quant = None,
    engine: Engine = None,
    from_disk: FromDisk = False,
    use: Use = None,
    no_mmproj: NoMmproj = False,
    no_draft: NoDraft = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print reasons and alternatives; of what does not fit, the ways out."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Chooses quant, context, KV cache type, split and threads. Downloads only the header of the model."""
    body = {
        "model": absolute_model(" ".join(model)),
        **profile_json(on),
        **({"explain": True} if explain else {}),
        **launch_options(
            context,
            parallel,
            min_decode,
            with_quant(quality, quant),
            engine,
            from_disk=from_disk,
            no_mmproj=no_mmproj,
            no_draft=no_draft,
            min_context=min_context,
            min_quality=min_quality,
            use=use,
        ),
    }
    daemon = connect_or_start()
    try:
        data = _planned(daemon, body, as_json=as_json)
    except AnswerError as error:
        if error.explanation is not None and not as_json:
            shortfall = decode(Shortfall, error.explanation)
            print("\n".join(wrap(shortfall_lines(shortfall), columns(), indent=4)))
            error.hint = ""  # the explanation has more
        raise
    if as_json:
        print_json(data)
        return
    plan = decode(Plan, data)
    shown = [*summary_lines(plan), legend_line(plan)]
    lines = [*wrap(shown, columns(), indent=10), "", *command_lines(plan, columns())]
    if explain:
        lines += wrap(explanation_lines(plan), columns(), indent=4)
    print("\n".join(lines))
