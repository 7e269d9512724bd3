"""``node-ctl catalogue``: what it prints of the models that have an alias, and of profiles."""

import json

from config.data import catalogue, profile_names
from domain.serialization import to_json
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon, refusal
from tests.rigs.catalogue_server import PUBLIC, publishing, text_of


def serve(daemon: FakeDaemon) -> None:
    models = catalogue()
    rows = [to_json(models[alias]) for alias in ("qwen3.6-27b", "qwen3-8b", "phi-4")]
    daemon.on("GET /v1/catalogue", [row | {"origin": "built-in"} for row in rows])


def test_a_line_for_each_alias(ctl: Ctl, daemon: FakeDaemon) -> None:
    serve(daemon)
    lines = ctl("catalogue", "list").stdout.splitlines()
    assert lines[0].split() == [
        "ALIAS",
        "PARAMETERS",
        "ARCHITECTURE",
        "LICENCE",
        "WITHOUT",
        "HUB",
        "FROM",
        "TITLE",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["phi-4", "qwen3-8b", "qwen3.6-27b"]
    assert "8.2 B" in lines[2]


def test_words_leave_those_that_have_them(ctl: Ctl, daemon: FakeDaemon) -> None:
    serve(daemon)
    assert len(json.loads(ctl("catalogue", "list", "QWEN3", "27b", "--json").stdout)) == 1
    assert "node-ctl search" in ctl("catalogue", "list", "asdf").stdout


def test_all_that_is_known_of_one_is_shown(ctl: Ctl, daemon: FakeDaemon) -> None:
    serve(daemon)
    out = ctl("catalogue", "show", "Qwen3.6-27B").stdout
    for part in ("unsloth/Qwen3.6-27B-GGUF", "reasoning_parser qwen3", "top_k 20", "llama.cpp#20260", "GiB"):
        assert part in out
    assert "None" not in out
    assert "known issue" not in ctl("catalogue", "show", "phi-4").stdout


def test_another_name_is_an_error_with_what_is_near(ctl: Ctl, daemon: FakeDaemon) -> None:
    serve(daemon)
    refused = ctl("catalogue", "show", "qwen3-8")
    assert refused.returncode == 3
    assert "qwen3-8b" in refused.stderr


def test_each_profile_has_a_line(ctl: Ctl, daemon: FakeDaemon) -> None:
    del daemon
    lines = ctl("catalogue", "profiles").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(profile_names())
    assert "24.0 GiB" in next(line for line in lines if line.startswith("rtx-4090"))


def test_the_real_daemon_takes_a_newer_catalogue_and_gives_it_back(owner: Ctl) -> None:
    del owner.env["NODE_DAEMON_OFFLINE"]
    with publishing() as server:
        server.publish(text_of(3, "brand-new-9b", "qwen3-8b"))
        owner.env |= {"NODE_DAEMON_CATALOGUE_URL": server.url, "NODE_DAEMON_CATALOGUE_KEY": PUBLIC}
        seen = owner("catalogue", "update", "--check").stdout
        assert seen.startswith("version 3 of 2026-12-01 is there; node-ctl catalogue update takes it")
        assert "new      brand-new-9b" in seen
        assert owner("catalogue", "show", "brand-new-9b").returncode == 3
        assert "is in use now (before: version 1)" in owner("catalogue", "update").stdout
        assert "up to date" in owner("catalogue", "update").stdout
        assert "of a newer catalogue that was fetched" in owner("catalogue", "show", "brand-new-9b").stdout
        assert [
            line.split()[-2:] for line in owner("catalogue", "list", "brand-new").stdout.splitlines()[1:]
        ] == [["update", "New"]]
        server.body = server.body.replace(b"version = 3", b"version = 4")
        refused = owner("catalogue", "update")
        assert refused.returncode == 1
        assert "its signature is wrong" in refused.stderr
        assert "instead of version 3" in owner("catalogue", "revert").stdout
        assert owner("catalogue", "show", "brand-new-9b").returncode == 3


def test_without_an_address_the_update_says_what_to_set(ctl: Ctl, daemon: FakeDaemon) -> None:
    refused = refusal("bad_usage", "no address", "set catalogue_url", status=422)
    daemon.on("POST /v1/catalogue/update", refused)
    done = ctl("catalogue", "update")
    assert (done.returncode, done.stderr) == (2, "node-ctl: no address\nhint: set catalogue_url\n")
