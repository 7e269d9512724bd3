"""The file of targets: what it may say, who may read it, and that no error repeats a secret of it."""

import os
from pathlib import Path

import pytest

from daemon.notifications import targets
from daemon.notifications.redaction import masked, shown
from domain.errors import ConfigError
from domain.events import Level
from domain.launches.schedule import When

SECRET = "tk_Sup3rSecret"
WHOLE = f"""
[phone]
url = "ntfys://{SECRET}"

[mail]
url = "mailtos://me:{SECRET}@example.org"
level = "info"
kinds = ["download_done"]
quiet = "weekdays 22:00-7:00"
digest = "8:00"

[done]
url = "json://127.0.0.1/x"
kinds = ["download_done"]
"""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "notify.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    phone, mail, done = targets.read(written(tmp_path, WHOLE))
    assert (phone.name, phone.level, phone.kinds, phone.digest) == ("phone", Level.WARNING, frozenset(), None)
    assert (mail.level, mail.kinds) == (Level.INFO, {"download_done"})
    assert mail.digest == When("0 8 * * *")
    assert (mail.quiet, mail.quiet_words) == (
        When("0 22 * * 1,2,3,4,5", "0 7 * * 2,3,4,5,6"),
        "weekdays 22:00-7:00",
    )
    assert done.level is None
    assert SECRET not in repr((phone, mail))


def test_without_a_file_there_are_no_targets(tmp_path: Path) -> None:
    assert targets.read(tmp_path / "none.toml") == ()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o606, 0o610])
def test_a_file_that_others_can_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, WHOLE, mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}") as refused:
        targets.read(path)
    assert refused.value.hint == f"chmod 600 {path}"


@pytest.mark.root
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="uid 12345"):
        targets.read(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "notify.toml", 0o600)
    with pytest.raises(ConfigError, match="is no file"):
        targets.read(tmp_path / "notify.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[phone]\nurl = "ntfys://{SECRET}', "is not TOML"),
        (f"ntfys://{SECRET}", "is not TOML"),
        (f'["{SECRET} x"]\nurl = "json://h"', "name of target 1"),
        (f'phone = "{SECRET}"', "phone is no table"),
        (f'[phone]\n"{SECRET}" = 1', "a key that is not known"),
        (f'[phone]\nulr = "ntfys://{SECRET}"', "a key that is not known"),
        ("[phone]\nlevel = 'error'", "no url"),
        (f'[phone]\nurl = "{SECRET}"', "no url"),
        (f'[phone]\nurl = "json://h/{SECRET}\\nx"', "no url"),
        (f'[phone]\nurl = "json://{"x" * 3000}"', "no url"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nlevel = "loud"', "none of error, warning and info"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nlevel = ["x"]', "none of error, warning and info"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nkinds = "died"', "no list"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nkinds = ["dyed"]', "kind 1 is none"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nquiet = "8:00"', "quiet is no window"),
        (f'[phone]\nurl = "json://h/{SECRET}"\nquiet = 8', "quiet is no time"),
        (f'[phone]\nurl = "json://h/{SECRET}"\ndigest = "8:00-9:00"', "digest is a window"),
        (f'[phone]\nurl = "json://h/{SECRET}"\ndigest = "{SECRET}"', "digest is no time"),
        (f"# {SECRET}\n" + "".join(f'[t{n}]\nurl = "json://h"\n' for n in range(21)), "21 targets"),
        (f"# {SECRET}" + "x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_what_is_wrong_is_said_without_what_is_secret(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        targets.read(written(tmp_path, text))
    assert SECRET not in str(refused.value) + refused.value.hint
    assert refused.value.__cause__ is None


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        targets.read(path)


def test_a_near_kind_and_a_near_key_are_offered(tmp_path: Path) -> None:
    for text, meant in (('kinds = ["download_don"]', "download_done"), ('diggest = "8:00"', "digest")):
        with pytest.raises(ConfigError) as refused:
            targets.read(written(tmp_path, f'[phone]\nurl = "json://h"\n{text}'))
        assert meant in refused.value.hint


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("ntfys://topic-is-secret", "ntfys://***"),
        ("tgram://123:abc/987", "tgram://***"),
        ("discord://id/token", "discord://***"),
        ("mailtos://me:pw@smtp.example.org:465?to=x", "mailtos://smtp.example.org:465/***"),
        ("json://user:pw@127.0.0.1:8080/hook?token=x", "json://127.0.0.1:8080/***"),
        ("json://user:pw@[::1/hook", "json://***"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, safe: str) -> None:
    assert shown(url) == safe


def test_a_reason_of_apprise_is_without_parts_of_the_url() -> None:
    url = "json://bob:p%40ss@hook.example/a-Token/x?key=Value"
    text = "POST http://hook.example/a-Token/x as bob with P@SS, value and p%40ss: Unauthorized, error=401."
    assert (
        masked(text, url)
        == "POST json://hook.example/*** as *** with ***, *** and ***: Unauthorized, error=401."
    )
