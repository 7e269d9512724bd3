"""``node-ctl pin``."""

from ctl.autostart import daemon
from ctl.options import Json, Stored
from ctl.terminal import print_json

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl pin ggml-org/gpt-oss-20b-GGUF
"""


def command(*, model: Stored, as_json: Json = False) -> None:
    """It stays until it is unpinned, however little room there is."""
    rows = daemon().post("/v1/models/pin", {"model": model, "pinned": True})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['model']} is pinned")
