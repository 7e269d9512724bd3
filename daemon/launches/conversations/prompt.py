"""What a request has an engine read: a chain of digests, which the gateway makes of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """``sizes`` are the bytes up to the end of each link; the first ``head`` links say what the model is to
    be, which other conversations may share."""

    chain: tuple[bytes, ...]
    sizes: tuple[int, ...]
    head: int

    @property
    def size_bytes(self) -> int:
        return self.sizes[-1]

    def common(self, chain: Sequence[bytes]) -> int:
        """How many of its links ``chain`` begins with."""
        if len(chain) and len(self.chain) and chain[0] != self.chain[0]:
            return 0
        pairs = zip(self.chain, chain, strict=False)
        return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(chain), len(self.chain)))

    def bytes_of(self, links: int) -> int:
        return self.sizes[links - 1] if links else 0

    def continues(self, chain: Sequence[bytes]) -> bool:
        """Whether it is the next turn of ``chain``, or another try of its last one."""
        common = self.common(chain)
        return common > self.head and common >= len(chain) - 1
