"""``node-ctl unpin``."""

from ctl.commands.pin import set_pinned
from ctl.options import Json, StoredModel

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl unpin ggml-org/gpt-oss-20b-GGUF
"""


def command(*, model: StoredModel, as_json: Json = False) -> None:
    """The least recently used weights are removed first."""
    set_pinned(model, pinned=False, as_json=as_json)
