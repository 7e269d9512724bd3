"""Which weights the NVIDIA GPUs of a box have kernels for, by compute capability."""

import re
from collections.abc import Sequence

from domain.errors import BadModelError
from domain.hardware import Gpu, Hardware
from domain.model import Candidate

_SM = re.compile(r"sm_(\d+)(\d)[a-z]?")


def capability(gpu: Gpu) -> float | None:
    """``sm_86`` is 8.6, ``sm_120`` 12.0; ``None`` for another vendor's, or where the driver does not say."""
    match = _SM.fullmatch(gpu.arch or "")
    return float(f"{match[1]}.{match[2]}") if match else None


def usable(model: str, candidates: Sequence[Candidate], hardware: Hardware) -> list[Candidate]:
    """Those that the least capable GPU has kernels for: tensor-parallel ranks are alike. All, where no
    capability is known. Raises: BadModelError where there are none."""
    known = [one for gpu in hardware.gpus if (one := capability(gpu)) is not None]
    if not known:
        return list(candidates)
    has = min(known)
    found = [one for one in candidates if one.compute_capability is None or one.compute_capability <= has]
    if not found:
        wants = min(candidates, key=lambda one: one.compute_capability or 0.0)
        raise BadModelError(
            f"{model}: {wants.weights.quant} weights need compute capability {wants.compute_capability}, "
            f"this GPU has {has}",
            hint="name a repository with other weights, or GGUF files: node-ctl search NAME",
        )
    return found
