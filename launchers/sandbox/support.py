"""What this kernel can limit of an engine."""

import os
from dataclasses import dataclass
from pathlib import Path

from launchers.sandbox import landlock, seccomp

ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")  # there with CONFIG_SECCOMP_FILTER


@dataclass(frozen=True, slots=True)
class Support:
    """``landlock`` is its version (ABI), ``None`` where the kernel has none or does not use it."""

    landlock: int | None
    seccomp: bool


def read_support() -> Support:
    return Support(landlock.abi(), ACTIONS.exists() and os.uname().machine in seccomp.ARCHITECTURES)
