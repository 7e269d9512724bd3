"""What was measured on this box, for the next plan on it. All optional."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """``decode_ratio``: measured over predicted tokens/s of earlier models here, as ``prefill_ratio``.

    ``threads``: the count that decoded fastest. ``spread``: how far single models were from the ratio
    (0.1 = a tenth)."""

    threads: int | None = None
    threads_batch: int | None = None
    host_bandwidth_bytes_per_s: float | None = None
    decode_ratio: float | None = None
    prefill_ratio: float | None = None
    spread: float | None = None


UNCALIBRATED = Calibration()
