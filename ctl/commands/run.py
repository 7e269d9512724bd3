"""``node-ctl run``."""

from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.chat.answer import Sampling
from ctl.chat.ask import answer
from ctl.chat.served import find_served
from ctl.chat.session import Session
from ctl.chat.standard_input import is_piped, read_text
from ctl.launching.follow import wait_until_ready
from ctl.options import (
    Context,
    Engine,
    FromDisk,
    Json,
    MaxTokens,
    MinContext,
    MinDecode,
    MinQuality,
    Model,
    Name,
    NoDraft,
    NoMmproj,
    Parallel,
    Quality,
    Quant,
    System,
    Temperature,
    Use,
    absolute_model,
    launch_options,
    with_quant,
)
from ctl.terminal import is_terminal

USAGE = "MODEL [PROMPT] [OPTIONS]"
EXAMPLES = """
  node-ctl run smollm2-135m
  node-ctl run smollm2-135m "Name the capital of France."
  node-ctl run gpt-oss-20b --context 32k --quant MXFP4
  node-ctl run gpt-oss-20b "Summarise this." < report.txt
"""


def command(
    *,
    model: Model,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="One question, instead of a chat.")
    ] = None,
    name: Name = None,
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
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    system: System = None,
    as_json: Json = False,
) -> None:
    """launch, with its options, then ask or chat. The model stays served afterwards, until node-ctl stop.
    Text on standard input comes before the prompt; with neither, it is a chat.
    """
    body: dict[str, object] = {
        "model": absolute_model(model),
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
    if name is not None:
        body["name"] = name
    text = read_text() if is_piped() else ""
    question = "\n\n".join(part for part in (text, " ".join(words or ())) if part)
    daemon = connect_or_start()
    accepted = daemon.post("/v1/launches", body)
    wait_until_ready(daemon, accepted, quiet=as_json or not is_terminal())
    sampling = Sampling(max_tokens, temperature)
    row = find_served(daemon, accepted["name"], usage="")
    if question.strip():
        answer(row, question, sampling, as_json=as_json, system=system)
        return
    Session(lambda: find_served(daemon, row.name, usage=""), sampling, system=system, as_json=as_json).run()
