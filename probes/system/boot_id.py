"""The id of this boot: what was measured in one boot may be wrong in the next."""

import re
from pathlib import Path

from probes import sysfs

BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_boot_id(root: Path) -> str | None:
    text = sysfs.read(root / "proc/sys/kernel/random/boot_id")
    return text if text and BOOT_ID.fullmatch(text) else None
