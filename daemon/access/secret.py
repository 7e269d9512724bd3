"""A key as text, and its hash. Pure, but for the randomness of a new one.

Whoever reads the state can't use what it holds. A key has 256 random bits, which no cost of a hash makes
harder to guess: 4 MiB and some 10 ms are enough, paid once for each key and start of the daemon.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

COST, BLOCK, PARALLEL = 2**12, 8, 1
MAX_MEMORY_BYTES = 64 * 2**20
_FORM = re.compile(r"nd-(?P<id>[0-9a-f]{8})-[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """``text`` is shown once, and stored nowhere."""

    id: str
    text: str
    hash: str


def make() -> NewKey:
    """Blocks for the time of the hash."""
    number = secrets.token_hex(4)
    text = f"nd-{number}-{secrets.token_urlsafe(32)}"
    return NewKey(number, text, hash_of(text))


def id_in(text: str) -> str | None:
    """The part by which a key is found; ``None`` for a text that is no key."""
    match = _FORM.fullmatch(text)
    return None if match is None else match["id"]


def hash_of(text: str, salt: bytes | None = None) -> str:
    """``scrypt$cost$block$parallel$salt$hash``, in hexadecimal."""
    salt = secrets.token_bytes(16) if salt is None else salt
    derived = _derive(text, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${derived.hex()}"


def matches(text: str, stored: str) -> bool:
    """In constant time. Blocks for the time of the hash."""
    try:
        _, cost, block, parallel, salt, expected = stored.split("$")
        derived = _derive(text, bytes.fromhex(salt), int(cost), int(block), int(parallel))
        return hmac.compare_digest(derived, bytes.fromhex(expected))
    except ValueError:  # a damaged hash is that of no key
        return False


def _derive(text: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        text.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=MAX_MEMORY_BYTES, dklen=32
    )
