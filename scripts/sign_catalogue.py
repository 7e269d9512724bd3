"""Signs a catalogue that node-ctl catalogue update fetches, and makes the pair of keys for it.

    .venv/bin/python -m scripts.sign_catalogue new-key ~/catalogue.key
    .venv/bin/python -m scripts.sign_catalogue sign --key ~/catalogue.key --version 2 > catalogue.signed
    .venv/bin/python -m scripts.sign_catalogue check catalogue.signed

The private key never belongs into the repository: docs/models.md says who keeps it, and how it is replaced.
"""

import argparse
import base64
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from catalog.feed.signed_file import KEY_BYTES, MAX_BYTES, opened, parse_key, signed
from config import catalogue, data
from domain.errors import NodeError


def main() -> int:
    arguments = _arguments().parse_args()
    try:
        arguments.run(arguments)
    except (NodeError, OSError, ValueError) as error:
        sys.stderr.write(f"sign_catalogue: {error}\n")
        return 1
    return 0


def new_key(arguments: argparse.Namespace) -> None:
    """Writes a private key for its owner alone, and prints the public one."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - of the subcommand

    key = SigningKey.generate()
    descriptor = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(base64.b64encode(bytes(key)) + b"\n")
    sys.stdout.write(base64.b64encode(bytes(key.verify_key)).decode() + "\n")


def sign(arguments: argparse.Namespace) -> None:
    """Writes the signed file to standard output."""
    head = [f"version = {arguments.version}", f"date = {arguments.date}"]
    if arguments.expires is not None:
        head.append(f"expires = {arguments.expires}")
    texts = [path.read_text() for path in arguments.files or sorted(catalogue.FOLDER.glob("*.toml"))]
    text = "\n".join([*head, "", *texts])
    published = catalogue.parse_published(text)
    if published.version <= catalogue.VERSION:
        raise ValueError(f"version {published.version} is not above the program's, {catalogue.VERSION}")
    seed = base64.b64decode(arguments.key.read_text(), validate=False)
    if len(seed) != KEY_BYTES:
        raise ValueError(f"{arguments.key} is not a key of new-key")
    file = signed(text.encode(), seed)
    if len(file) > MAX_BYTES:
        raise ValueError(f"the file has {len(file)} bytes, {MAX_BYTES} are read")
    sys.stdout.buffer.write(file)


def check(arguments: argparse.Namespace) -> None:
    """Says what a machine with this program would make of a file."""
    keys = (*data.catalogue_keys(), *([parse_key(arguments.public)] if arguments.public else ()))
    published = catalogue.parse_published(opened(arguments.file.read_bytes(), keys))
    until = f", until {published.expires}" if published.expires else ""
    sys.stdout.write(
        f"version {published.version} of {published.date}{until}: {len(published.models)} models\n"
    )


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Makes keys, and signs and checks catalogues.")
    commands = parser.add_subparsers(required=True)
    key = commands.add_parser("new-key", help="make a pair of keys")
    key.add_argument("file", type=Path, help="where the private key goes; it must not be there yet")
    key.set_defaults(run=new_key)
    one = commands.add_parser("sign", help="sign the catalogue of this tree, or other files")
    one.add_argument("--key", type=Path, required=True, help="the private key")
    one.add_argument("--version", type=int, required=True, help="higher than that of every file before")
    one.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    one.add_argument("--expires", type=date.fromisoformat, help="machines do not take it after this day")
    one.add_argument("files", type=Path, nargs="*", help="catalogue files; default: config/catalog/*.toml")
    one.set_defaults(run=sign)
    other = commands.add_parser("check", help="check a signed file")
    other.add_argument("file", type=Path)
    other.add_argument("--public", help="a public key that is trusted besides those that ship")
    other.set_defaults(run=check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
