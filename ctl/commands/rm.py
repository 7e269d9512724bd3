"""``node-ctl rm``."""

from ctl.autostart import connect
from ctl.options import Json, StoredModel
from ctl.terminal import print_json
from domain.units import gib

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl rm unsloth/Qwen3-8B-GGUF:Q5_K_M
  node-ctl rm unsloth/Qwen3-8B-GGUF
"""

REMOVE_TIMEOUT_S = 600.0  # removing a large file from a slow disk takes a while


def command(*, model: StoredModel, as_json: Json = False) -> None:
    """Removes one quant, or all weights of a repository or an alias. Refuses what is in use, pinned or owned
    by another tool.
    """
    done = connect().post("/v1/models/remove", {"model": model}, timeout_s=REMOVE_TIMEOUT_S)
    if as_json:
        print_json(done)
        return
    freed, free = gib(done["freed_bytes"]), gib(done["free_bytes"])
    print(f"removed {', '.join(done['models'])}: {freed} freed, {free} free")
