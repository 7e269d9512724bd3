"""``node-ctl pin``."""

from ctl.autostart import connect
from ctl.options import Json, StoredModel
from ctl.terminal import print_json

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl pin ggml-org/gpt-oss-20b-GGUF
"""


def command(*, model: StoredModel, as_json: Json = False) -> None:
    """Pinned weights are kept until they are unpinned, however full the disk is."""
    set_pinned(model, pinned=True, as_json=as_json)


def set_pinned(model: str, *, pinned: bool, as_json: bool) -> None:
    rows = connect().post("/v1/models/pin", {"model": model, "pinned": pinned})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['model']} is {'pinned' if pinned else 'no longer pinned'}")
