"""How an engine is watched: where its log goes, and who understands it."""

from dataclasses import dataclass
from pathlib import Path

from launchers.process.engine import DiagnoseFailure, FindDegradation


@dataclass(frozen=True, slots=True)
class Watch:
    """``expect`` is a word that the known answer must have."""

    log_path: Path
    log_limit_bytes: int
    diagnose: DiagnoseFailure
    find_degradation: FindDegradation | None
    expect: str | None
