"""A file system that can be frozen: who writes to it hangs in the kernel, and no signal ends it (root).

An ext4 of 16 MiB in a mount namespace of its own. It thaws when its holder's standard input closes, so that
a test that is killed leaves nothing that hangs.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOLD = """
truncate -s 16M "$1.img" && mkfs.ext4 -q "$1.img" && mkdir "$1" && mount -o loop "$1.img" "$1" && echo mounted
cat
fsfreeze --unfreeze "$1" 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class FrozenDisk:
    path: Path

    def freeze(self) -> None:
        subprocess.run(["fsfreeze", "--freeze", self.path], check=True)

    def thaw(self) -> None:
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=True)


@contextmanager
def frozen_disk(folder: Path) -> Iterator[FrozenDisk]:
    """Not frozen yet. ``path`` is seen from outside of its namespace."""
    mounted = folder / "disk"
    argv = ["unshare", "--mount", "sh", "-c", HOLD, "sh", str(mounted)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        yield FrozenDisk(Path(f"/proc/{holder.pid}/root{mounted}"))
        holder.stdin.close()
