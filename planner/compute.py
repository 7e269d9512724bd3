"""Compute buffers per device: what the widest moment of one graph needs at once."""

from planner.hparams import Hparams
from planner.placement import HOST_ID, Placement
from planner.resolved import Resolved

F32 = 4


def per_device(hparams: Hparams, run: Resolved, placement: Placement) -> dict[int, int]:
    """Bytes by device number."""
    tokens = run.ubatch
    logits = run.logits_rows * hparams.vocab * F32
    stream = tokens * hparams.embd * F32
    heads = max(layer.heads * max(layer.key_dim, hparams.mla_key_dim) for layer in hparams.layers)
    ffn = max([layer.ffn for layer in hparams.layers] + [0])
    attention = tokens * heads * F32 * 3
    if not run.flash_attention:
        most = max(layer.heads for layer in hparams.layers)
        attention += tokens * run.context_per_sequence * most * F32
    feed = max(tokens * ffn * F32 * 2, tokens * hparams.experts_used * hparams.embd * F32 * 2)
    mask = tokens * run.context_per_sequence * 2 * (2 if hparams.window else 1)
    work = stream * 3 + max(attention, feed) + mask
    found = dict.fromkeys([HOST_ID, *range(len(placement.devices))], 0)
    for device in set(placement.layer_device) | {placement.output}:
        found[device] = work
    found[placement.output] = max(found[placement.output], logits + stream * 2 + mask)
    found[HOST_ID] = max(found[HOST_ID], stream + mask)
    return found
