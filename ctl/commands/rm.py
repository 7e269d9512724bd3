"""``node-ctl rm``."""

from ctl.autostart import daemon
from ctl.options import Json, Stored
from ctl.terminal import print_json
from domain.units import gib

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl rm unsloth/Qwen3-8B-GGUF:Q5_K_M
  node-ctl rm unsloth/Qwen3-8B-GGUF
"""

REMOVE_TIMEOUT_S = 600.0  # a large file takes a slow disk a while


def command(*, model: Stored, as_json: Json = False) -> None:
    """One quant, or everything of a repository or an alias. What is in use, pinned or another tool's is
    refused.
    """
    done = daemon().post("/v1/models/remove", {"model": model}, timeout_s=REMOVE_TIMEOUT_S)
    if as_json:
        print_json(done)
        return
    freed, free = gib(done["freed_bytes"]), gib(done["free_bytes"])
    print(f"removed {', '.join(done['models'])}: {freed} freed, {free} free")
