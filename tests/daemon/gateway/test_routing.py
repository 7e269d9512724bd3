"""Which model a name means: pure tables, then names of the catalogue with a daemon's own."""

import pytest

from daemon.gateway.errors import GatewayError, UnknownServedModelError
from daemon.gateway.listener.origins import check_origin, host_name, is_loopback
from daemon.gateway.routing import ServedName, find
from tests.daemon.gateway.conftest import Rig

QWEN = ServedName("qwen", ("unsloth/Qwen3-8B-GGUF", "unsloth/Qwen3-8B-GGUF:Q4_K_M", "qwen3-8b"))
OTHER = ServedName("qwen3-8b-small", ("unsloth/Qwen3-8B-GGUF", "unsloth/Qwen3-8B-GGUF:Q2_K", "qwen3-8b"))
VECTORS = ServedName("vectors", ("nomic",), serves=False)


@pytest.mark.parametrize(
    ("asked", "served", "expected"),
    [
        pytest.param("qwen", [QWEN, OTHER], "qwen", id="the name of a launch"),
        pytest.param("QWEN:latest", [QWEN], "qwen", id="case and latest"),
        pytest.param("unsloth/qwen3-8b-gguf:q2_k", [QWEN, OTHER], "qwen3-8b-small", id="a quant"),
        pytest.param("hf.co/unsloth/Qwen3-8B-GGUF", [QWEN], "qwen", id="with the host"),
        pytest.param("qwen3-8b", [ServedName("a", ("qwen3-8b",), is_ready=False), QWEN], "qwen", id="ready"),
        pytest.param(
            "qwen3-8b", [QWEN, ServedName("qwen3-8b", ("x",), is_ready=False)], "qwen3-8b", id="name first"
        ),
        pytest.param("vectors", [QWEN, VECTORS], "vectors", id="named, though it can't: told by the caller"),
        pytest.param(None, [QWEN, VECTORS], "qwen", id="the only one that can"),
        pytest.param("", [QWEN], "qwen", id="an empty name is none"),
    ],
)
def test_a_name_finds_its_launch(asked: str | None, served: list[ServedName], expected: str) -> None:
    assert find(asked, served) == expected


def test_a_catalogue_knows_more_names() -> None:
    assert find("qwen3:8b", [QWEN], lambda name: ["qwen3-8b"] if name == "qwen3:8b" else []) == "qwen"


def test_another_models_name_is_never_answered_and_near_ones_are_told() -> None:
    with pytest.raises(UnknownServedModelError, match="did you mean qwen, qwen3-8b") as caught:
        find("qwen3-9b", [QWEN, VECTORS])
    assert "qwen3-8b" in caught.value.near
    with pytest.raises(UnknownServedModelError, match="served: qwen, vectors"):
        find("gpt-4o", [QWEN, VECTORS])
    with pytest.raises(UnknownServedModelError, match="none is served"):
        find("gpt-4o", [])
    with pytest.raises(UnknownServedModelError) as long:
        find("x" * 100_000, [QWEN])
    assert len(str(long.value)) < 300


def test_a_request_without_a_name_is_no_guess() -> None:
    with pytest.raises(GatewayError, match="2 are served: a, qwen") as caught:
        find(None, [QWEN, ServedName("a")])
    assert caught.value.status == 400
    with pytest.raises(UnknownServedModelError):
        find(None, [VECTORS])


@pytest.mark.parametrize(
    "asked", ["gpt-oss-20b", "gpt-oss:20b", "gpt-oss", "gpt-oss:latest", "ggml-org/gpt-oss-20b-GGUF"]
)
async def test_a_model_of_the_catalogue_answers_by_each_of_its_names(gateway: Rig, asked: str) -> None:
    await gateway.serve("mine", model="gpt-oss-20b")
    await gateway.serve("other", model="gpt-oss-120b")
    response = await gateway.post("/v1/chat/completions", model=asked, messages=[])
    assert response.json()["asked"]["model"] == "mine"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8411", "localhost"),
        ("[::1]:1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_host_is_read_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


def test_what_stays_on_this_machine() -> None:
    for host in ("localhost", "LOCALHOST.", "a.localhost", "127.9.9.9", "::1"):
        assert is_loopback(host), host
    for host in ("localhost.evil.example", "192.168.1.2", "0.0.0.0", "evil.example", "10.0.0.1"):
        assert not is_loopback(host), host


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        ("localhost:8411", "", False),
        ("box.lan:8411", "http://box.lan:8411", False),
        ("localhost:8411", "http://localhost:8411", False),
        ("localhost:8411", "http://localhost:3000", True),
        ("localhost:8411", "null", True),
        ("localhost:8411", "https://evil.example", True),
        ("localhost:8411", "http://[", True),
        ("", "http://", True),
        ("localhost:8411", "vscode-webview://abc", False),
    ],
)
def test_pages_of_others_are_refused(host: str, origin: str, refused: bool) -> None:
    if not refused:
        check_origin(host, origin)
        return
    with pytest.raises(GatewayError) as caught:
        check_origin(host, origin)
    assert caught.value.status == 403
