"""URLs are shown without credentials."""

import pytest

from domain.redact import without_secrets


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
