"""A signed catalogue: a line with the signature, then the text that it is of, byte for byte.

    node-daemon-catalogue 1 ed25519 SIGNATURE-IN-BASE64
    version = 3
    date = 2026-12-01
    ...

What is signed is ``CONTEXT`` and then the text: version and date with the entries. There is one form only of
each signed text. Nothing of the text is read before its signature is checked.
"""

import base64
import binascii
import re
from collections.abc import Iterable

from domain.errors import CatalogueError

MAX_BYTES = 4 * 1024 * 1024  # the catalogue that ships has 130 KiB
KEY_BYTES, SIGNATURE_BYTES = 32, 64
CONTEXT = b"node-daemon-catalogue 1\n"  # a signature of anything else by the same key is none of a catalogue
_FIRST_LINE = re.compile(rb"node-daemon-catalogue (\d{1,9}) ed25519 ([A-Za-z0-9+/]{86}==)\n")
NOT_SIGNED = "the address must be that of a file that scripts/sign_catalogue.py wrote"


def parse_key(text: str) -> bytes:
    """A public key. Raises: ValueError."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a key is 32 bytes in base64, as scripts/sign_catalogue.py prints it") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes in base64, this one has {len(key)}")
    return key


def opened(data: bytes, keys: Iterable[bytes]) -> str:
    """The text, if one of ``keys`` signed it. Raises: CatalogueError."""
    match = _FIRST_LINE.match(data)
    if match is None:
        raise CatalogueError("it is not a signed catalogue", hint=NOT_SIGNED)
    if match[1] != b"1":
        raise CatalogueError(
            f"it has form {match[1].decode()}, this node-daemon reads form 1", hint="update node-daemon"
        )
    signature = base64.b64decode(match[2])
    text = data[match.end() :]
    if base64.b64encode(signature) != match[2] or not any(_signed(text, signature, key) for key in keys):
        raise CatalogueError(
            "its signature is wrong: it was changed on the way, or the key is not one that is trusted here",
            hint="set catalogue_key to the public key of who signs it, if that is not node-daemon's",
        )
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise CatalogueError(f"it is not UTF-8: {error}") from error


def _signed(text: bytes, signature: bytes, key: bytes) -> bool:
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415  # only where a catalogue is checked
    from nacl.signing import VerifyKey  # noqa: PLC0415

    try:
        VerifyKey(key).verify(CONTEXT + text, signature)
    except BadSignatureError:
        return False
    return True


def signed(text: bytes, seed: bytes) -> bytes:
    """The file of ``text``. ``seed`` is the private key, 32 bytes."""
    from nacl.signing import SigningKey  # noqa: PLC0415  # as above

    signature = SigningKey(seed).sign(CONTEXT + text).signature
    return b"node-daemon-catalogue 1 ed25519 " + base64.b64encode(signature) + b"\n" + text
