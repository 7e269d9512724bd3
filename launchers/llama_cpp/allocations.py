"""What a running llama-server has allocated, by the log of its start.

Lines as printed by b10068 and b10434 (tests/captures/llama.cpp).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from domain.units import MIB
from launchers.llama_cpp.dry_run import DeviceUsage
from launchers.llama_cpp.failures import Buffer, parse_buffers

PART_OF_BUFFER = {"model": "model", "KV": "context", "RS": "context", "compute": "compute"}
MAPPED = "_Mapped"
# What precedes the buffers of each context, and of each encoder of a projector (tools/mtmd/clip.cpp).
CONTEXT = re.compile(r"constructing llama_context|CLIP using (?P<device>\S{1,64}) backend")
ENCODER_WEIGHTS = re.compile(r"load_hparams: model size:\s{1,64}(?P<mib>\d{1,15}(?:\.\d{1,15})?) MiB")


def parse(log: str) -> tuple[DeviceUsage, ...]:
    """What a running engine has allocated, from the log of its start; its projector included."""
    usages: dict[str, DeviceUsage] = {}
    for buffer in (*_final_buffers(log), *_encoders_weights(log)):
        name = buffer.device.removesuffix(MAPPED)
        part = PART_OF_BUFFER.get(buffer.what)
        if part is None:
            continue
        usage = usages.get(name) or DeviceUsage(name, 0, 0, 0, is_device=not buffer.on_host)
        if part == "context":
            usage = replace(usage, context_bytes=usage.context_bytes + buffer.size_bytes)
        elif part == "compute":
            usage = replace(usage, compute_bytes=usage.compute_bytes + buffer.size_bytes)
        elif buffer.device.endswith(MAPPED) or usage.model_bytes is None:
            usage = replace(usage, model_bytes=None)
        else:
            usage = replace(usage, model_bytes=usage.model_bytes + buffer.size_bytes)
        usages[name] = usage
    return tuple(usages.values())


def _final_buffers(log: str) -> Iterator[Buffer]:
    """A context that drafts reserves its compute buffers once more when its samplers are set."""
    begins = [match.start() for match in CONTEXT.finditer(log)]
    for begin, end in pairwise((0, *begins, len(log))):
        buffers = parse_buffers(log[begin:end])
        final = {buffer.device: buffer for buffer in buffers if buffer.what == "compute"}
        yield from (buffer for buffer in buffers if buffer.what != "compute")
        yield from final.values()


def _encoders_weights(log: str) -> Iterator[Buffer]:
    """Of a projector, whose buffer is not logged. A file with encoders for images and for sound says its
    size before each: none is known then."""
    encoders = [match for match in CONTEXT.finditer(log) if match["device"]]
    for encoder in encoders:
        size = ENCODER_WEIGHTS.search(log, encoder.end())
        if size is not None and len(encoders) == 1:
            yield Buffer(encoder["device"], "model", int(float(size["mib"]) * MIB))
        else:
            yield Buffer(f"{encoder['device']}{MAPPED}", "model", 0)
