"""The signed file of a catalogue: one form for each text, and keys of maintainers alone open it."""

import subprocess
import sys
from pathlib import Path

import pytest

from catalog.feed.signed_file import opened, parse_key, signed
from config import catalogue, data
from domain.errors import CatalogueError
from tests.conftest import ROOT
from tests.rigs.catalogue_server import PUBLIC, SEED

KEY = parse_key(PUBLIC)
TEXT = b"version = 2\ndate = 2026-12-01\n"


def test_what_was_signed_is_opened_with_its_key_alone() -> None:
    file = signed(TEXT, SEED)
    assert opened(file, (bytes(32), KEY)).encode() == TEXT
    for keys in ((), (parse_key("A" * 42 + "E="),), data.catalogue_keys()):
        with pytest.raises(CatalogueError, match="its signature is wrong"):
            opened(file, keys)


def test_no_other_file_has_its_signature() -> None:
    """Every byte counts, also those of the first line: none can be changed, added or left out."""
    file = signed(TEXT, SEED)
    for at in range(len(file)):
        for other in (file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :], file[:at] + file[at + 1 :]):
            with pytest.raises(CatalogueError):
                opened(other, (KEY,))
    for other in (file + b"\n", b"\n" + file, b"", b"<html>"):
        with pytest.raises(CatalogueError):
            opened(other, (KEY,))


@pytest.mark.parametrize("text", ["", "x", "AAAA", "not base64!", PUBLIC[:-1], f"{PUBLIC}A"])
def test_what_is_no_key_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="a key"):
        parse_key(text)


def test_a_maintainer_makes_a_key_signs_the_catalogue_of_this_tree_and_checks_it(tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[bytes]:
        argv = [sys.executable, "-m", "scripts.sign_catalogue", *args]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, check=False)

    key, file = tmp_path / "key", tmp_path / "catalogue.signed"
    public = run("new-key", str(key)).stdout.decode().strip()
    assert key.stat().st_mode & 0o077 == 0
    assert run("new-key", str(key)).returncode == 1, "a key is never written over"
    assert b"is not above the program's" in run("sign", "--key", str(key), "--version", "1").stderr
    file.write_bytes(run("sign", "--key", str(key), "--version", "2", "--date", "2026-12-01").stdout)
    assert b"its signature is wrong" in run("check", str(file)).stderr
    checked = run("check", str(file), "--public", public).stdout.decode()
    assert checked == f"version 2 of 2026-12-01: {len(catalogue.catalogue())} models\n"
    assert (
        catalogue.parse_published(opened(file.read_bytes(), (parse_key(public),))).models
        == catalogue.catalogue()
    )


def test_the_private_key_of_no_shipped_key_is_in_the_repository() -> None:
    assert len(data.catalogue_keys()) == 1
    assert parse_key(PUBLIC) not in data.catalogue_keys()
