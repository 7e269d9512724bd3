"""A name that no model has: what launch and plan offer, on a terminal and in a pipe."""

from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import Answer, FakeDaemon, refusal

UNKNOWN = refusal("unknown_model", "no model is called 'tern'", "did you mean fern?", status=404)
FITS = {
    "repo": "unsloth/Tern-9B-GGUF",
    "quant": "Q4_K_M",
    "size_bytes": 6 << 30,
    "context_tokens": 32768,
    "decode_tokens_per_s": 21.0,
    "downloads": 5,
    "trusted": "quantizes",
    "why_not": "",
}
LARGE = FITS | {"repo": "me/Tern-900B-GGUF", "trusted": "", "quant": None, "why_not": "it does not fit"}
FOUND = {"known": False, "aliases": ["tern-2b"], "hub": [FITS, LARGE], "problem": ""}


def test_in_a_pipe_the_candidates_are_commands_and_nothing_is_launched(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches", UNKNOWN)
    daemon.on("POST /v1/offers", FOUND)
    done = ctl("launch", "tern", "9b", "--context", "8192")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "node-ctl launch tern-2b    # of the catalogue",
        "node-ctl launch unsloth/Tern-9B-GGUF:Q4_K_M    # 6.0 GiB, about 21 tokens/s, unsloth quantizes",
        "not here: me/Tern-900B-GGUF: it does not fit",
        "node-ctl: no model is called 'tern 9b'",
        "hint: did you mean fern? nothing was launched: name one of these",
    ]
    assert daemon.asked[-1].body == {"model": "tern 9b", "context_tokens": 8192}
    assert [asked.path for asked in daemon.asked].count("/v1/launches") == 1


def test_plan_offers_likewise_and_offline_is_said(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", UNKNOWN)
    daemon.on("POST /v1/offers", FOUND | {"hub": [], "problem": "offline is set"})
    done = ctl("plan", "tern")
    assert done.returncode == 3
    assert "the hub was not searched: offline is set\n" in done.stderr
    assert done.stderr.count("tern-2b") == 1  # in the command to copy


def test_what_is_no_word_is_not_searched_for(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", UNKNOWN)
    daemon.on("POST /v1/offers", FOUND)
    for name in ("o/tern-GGUF", "tern:Q9", "./tern.gguf"):
        assert "hint: did you mean fern?\n" in ctl("plan", name).stderr
    daemon.on("POST /v1/offers", FOUND | {"known": True})
    assert "hint: did you mean fern?\n" in ctl("plan", "tern").stderr


def test_on_a_terminal_the_owner_chooses(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches", UNKNOWN)
    daemon.on("POST /v1/offers", FOUND)
    daemon.on("GET /v1/launches/smol/progress", Answer(lines=answers.TO_READY))
    daemon.on("GET /v1/launches/smol", answers.DETAIL)
    with terminal(["launch", "tern"], ctl.env) as screen:
        screen.until("Which one? [1-2, Enter for none]")
        assert "unsloth/Tern-9B-GGUF:Q4_K_M" in screen.screen
        daemon.on("POST /v1/launches", Answer({"name": "smol", "created": True}, 202))
        screen.press(b"7\n")
        screen.until("Which one?", after="none] 7")
        screen.press(b"2\n")
        assert screen.ended() == 0
    assert daemon.asked[2].body == {"model": "unsloth/Tern-9B-GGUF:Q4_K_M"}


def test_on_a_terminal_no_answer_launches_nothing(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches", UNKNOWN)
    daemon.on("POST /v1/offers", FOUND)
    with terminal(["launch", "tern"], ctl.env) as screen:
        screen.until("Which one?")
        screen.press(b"\n")
        assert screen.ended() == 3
    assert "nothing was launched" in screen.screen
    assert len(daemon.asked) == 2
