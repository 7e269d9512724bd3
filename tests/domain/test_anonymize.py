"""A text without what identifies a machine or a person."""

import pytest

from domain.anonymize import Identifiers, anonymize_text, without_secrets

IDENTIFIERS = Identifiers(
    hosts=("attic.lan", "attic"),
    users=("ada", "ai"),
    homes=("/home/ada", "/srv/people/ai"),
    numbers=("S6Z1NJ0W123456", "PF4XK2LM"),
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("/home/ada/models/a.gguf", "~/models/a.gguf", id="a home"),
        pytest.param("/home/someone-else/a and /Users/eve/b", "~/a and ~/b", id="homes of others"),
        pytest.param("/srv/people/ai/x", "~/x", id="a home elsewhere"),
        pytest.param(
            "root=/dev/mapper/attic--vg-root resume=/dev/attic-vg/swap rd.lvm.lv=fedora_attic/root",
            "root=/dev/mapper/<host>--vg-root resume=/dev/<host>-vg/swap rd.lvm.lv=fedora_<host>/root",
            id="volume groups, as installers name them",
        ),
        pytest.param("attic-fan and my-attic, atticus", "attic-fan and my-attic, atticus", id="other words"),
        pytest.param("ada@attic: attic.lan said so", "<user>@<host>: <host> said so", id="names"),
        pytest.param("openai said it to adam", "openai said it to adam", id="names within other words"),
        pytest.param("disk S6Z1NJ0W123456", "disk <number>", id="a number that is known"),
        pytest.param("Serial Number: 1423A0B7", "Serial Number: <number>", id="a number that is called one"),
        pytest.param('"unique_id": "0x9a3b"', '"unique_id": "<number>"', id="a number in JSON"),
        pytest.param("GPU-8f6d2c1e-1a2b-3c4d-5e6f-708192a3b4c5", "GPU-<number>", id="a UUID"),
        pytest.param("UUID=18e645be-29c9-445c-9958-2a641ab0cd99 ro", "UUID=<number> ro", id="a disk"),
        pytest.param("enp1s0 9c:6b:00:12:34:56 up", "enp1s0 <number> up", id="a MAC address"),
        pytest.param("from 192.168.1.20:5000", "from <address>:5000", id="an address"),
        pytest.param("from fe80::9e6b:ff:fe12:3456", "from <address>", id="an address of 16 bytes"),
        pytest.param(
            "on http://127.0.0.1:18100 and ::1", "on http://127.0.0.1:18100 and ::1", id="the loopback"
        ),
        pytest.param("pci:0000:c3:00.0 at 12:00:48", "pci:0000:c3:00.0 at 12:00:48", id="a slot and a time"),
        pytest.param("nvidia 580.95.05, 0.10068.0", "nvidia 580.95.05, 0.10068.0", id="versions"),
        pytest.param("HF_TOKEN=hf_abcdefghijklmnop", "HF_TOKEN=<secret>", id="a token"),
        pytest.param("--api-key sesame1234 -c 1", "--api-key <secret> -c 1", id="a key of an engine"),
        pytest.param("Authorization: Bearer abc.def", "Authorization: Bearer <secret>", id="a bearer"),
        pytest.param(
            "https://ada:pw@h.example/a?sig=x", "https://h.example/a?...", id="an address with both"
        ),
    ],
)
def test_whose_machine_it_is_is_not_shown(text: str, shown: str) -> None:
    assert anonymize_text(text, IDENTIFIERS) == shown


def test_what_is_anonymous_stays_as_it_is() -> None:
    once = anonymize_text("ada at attic, /home/ada, PF4XK2LM, 10.0.0.1, hf_abcdefghijklmnop", IDENTIFIERS)
    assert anonymize_text(once, IDENTIFIERS) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("https://h.example/a.gguf", "https://h.example/a.gguf", id="nothing to hide"),
        pytest.param("https://ada:pw@h.example/a.gguf", "https://h.example/a.gguf", id="a password"),
        pytest.param("https://t@k@h.example:8443/a", "https://h.example:8443/a", id="an @ in it"),
        pytest.param("http://h/a.gguf?sig=s&e=1#x", "http://h/a.gguf?...", id="a signature"),
        pytest.param("HTTPS://a:b@h/x?y", "HTTPS://h/x?...", id="capitals"),
        pytest.param(
            "fetching http://a:b@h/x.gguf?k=v Q8_0, then 'http://h/y?k=v'",
            "fetching http://h/x.gguf?... Q8_0, then 'http://h/y?...'",
            id="within a sentence",
        ),
        pytest.param("owner/repo:Q4@main?", "owner/repo:Q4@main?", id="no URL at all"),
    ],
)
def test_secrets_of_an_address_are_not_shown(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
