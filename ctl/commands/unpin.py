"""``node-ctl unpin``."""

from ctl.autostart import daemon
from ctl.options import Json, Stored
from ctl.terminal import print_json

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl unpin ggml-org/gpt-oss-20b-GGUF
"""


def command(*, model: Stored, as_json: Json = False) -> None:
    """It may be removed by gc again, when it was not used for longest."""
    rows = daemon().post("/v1/models/pin", {"model": model, "pinned": False})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['model']} is no longer pinned")
