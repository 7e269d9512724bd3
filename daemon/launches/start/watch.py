"""How an engine is run and watched: what it may do, where its log goes, how failures are read from it."""

from dataclasses import dataclass
from pathlib import Path

from launchers.process.engine import DiagnoseFailure, FindDegradation
from launchers.sandbox.policy import Sandbox


@dataclass(frozen=True, slots=True)
class Watch:
    """``expect`` is a word that the first answer must have, ``None`` for any."""

    log_path: Path
    log_limit_bytes: int
    diagnose: DiagnoseFailure
    find_degradation: FindDegradation | None
    expect: str | None
    sandbox: Sandbox | None = None
