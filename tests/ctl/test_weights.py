"""Weights on the command line: pulled and watched, listed, pinned, removed, made room for, verified."""

import json
from dataclasses import replace

import pytest

from domain.launches.launch import Progress, Step
from domain.models.local_model import LocalModelRow, VerifyProgress
from domain.models.model import Source
from domain.serialization import to_json
from domain.units import GIB, MIB
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.ctl.test_completion import completed
from tests.fakes.daemon_server import Answer, FakeDaemon

NAME = "o/toy-GGUF:Q8_0"
ROW = LocalModelRow(NAME, Source.HUB, "o/toy-GGUF", "0" * 40, "Q8_0", 3 * GIB, ("toy-Q8_0.gguf",), "/m/toy")
FREED = {"models": [NAME], "leftovers": 0, "freed_bytes": 3 * GIB, "free_bytes": 9 * GIB, "short_bytes": 0}


def line(step: Step, message: str, **more: object) -> str:
    return json.dumps(to_json(Progress(step, message, 0.0, **more)))  # type: ignore[arg-type]


def streamed(*lines: str) -> Answer:
    return Answer(lines=lines)


@pytest.fixture
def pulling(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("POST /v1/pulls", {"id": 3, "created": True})
    daemon.on(
        "GET /v1/pulls/3/progress",
        streamed(
            line(Step.RESOLVE, "looking for toy"),
            line(Step.DOWNLOAD, "", bytes_done=MIB, bytes_total=4 * MIB, rate_bytes_per_s=1e6, eta_s=3.0),
            line(Step.DOWNLOAD, "", bytes_done=MIB, bytes_total=4 * MIB, waiting="the disk is full"),
            line(Step.DONE, "toy is here"),
        ),
    )
    last = {"id": 3, "model": "toy", "name": NAME, "since": "", "last": {"step": "done"}}
    daemon.on("GET /v1/pulls", [last])
    return daemon


def test_a_pull_is_watched_to_its_end(ctl: Ctl, pulling: FakeDaemon) -> None:
    done = ctl("pull", "toy", "--limit", "20MB/s", "--window", "01:00-06:00")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "resolve   looking for toy",
        "download  1 MiB of 4 MiB (25 %), 1.0 MB/s, 3.0 s left",
        "download  1 MiB of 4 MiB (25 %), waiting: the disk is full",
        "done      toy is here",
    ]
    assert pulling.asked[0].body == {"model": "toy", "limit": "20MB/s", "window": "01:00-06:00"}


def test_with_json_the_answer_alone_is_on_standard_output(ctl: Ctl, pulling: FakeDaemon) -> None:
    done = ctl("pull", "toy", "--json")
    assert json.loads(done.stdout)["name"] == NAME
    assert "done      toy is here" in done.stderr


def test_a_pull_that_fails_has_the_status_of_its_error(ctl: Ctl, pulling: FakeDaemon) -> None:
    failed = line(Step.FAILED, "the disk is full", code="disk_full", hint="node-ctl gc")
    pulling.on("GET /v1/pulls/3/progress", streamed(failed))
    done = ctl("pull", "toy")
    assert done.returncode == 7
    assert done.stderr == "node-ctl: the disk is full\nhint: node-ctl gc\n"


def test_a_pull_is_left_to_the_daemon_or_cancelled(ctl: Ctl, pulling: FakeDaemon) -> None:
    assert "pulling toy" in ctl("pull", "toy", "--no-wait").stdout
    over = ctl("pull", "toy", "--cancel")
    assert over.returncode == 2
    assert "toy is not being pulled" in over.stderr
    pulling.on("GET /v1/pulls", [{"id": 3, "model": "toy", "name": NAME, "since": "", "last": None}])
    pulling.on("POST /v1/pulls/3/cancel", {"id": 3})
    assert ctl("pull", "toy", "--cancel").stdout == "cancelled toy: what is downloaded is kept\n"


def test_ctrl_c_says_that_a_download_goes_on_and_what_stops_it(ctl: Ctl, pulling: FakeDaemon) -> None:
    moving = line(Step.DOWNLOAD, "", bytes_done=MIB, bytes_total=4 * MIB)
    pulling.on("GET /v1/pulls/3/progress", Answer(lines=(moving,), open_after=True))
    with terminal(["pull", "toy"], ctl.env, columns=200) as screen:
        screen.until("1 MiB of 4 MiB")
        screen.press(b"\x03")
        assert screen.ended() == 130
    assert (
        "the download continues in the daemon: node-ctl pull toy watches it again, node-ctl pull toy --cancel"
        " stops it and keeps what is downloaded"
    ) in screen.screen


def test_a_pull_of_an_address_is_cancelled_by_it_and_shown_without_its_secrets(
    ctl: Ctl, pulling: FakeDaemon
) -> None:
    url, shown = "https://me:pass@example.org/a.gguf?token=t", "https://example.org/a.gguf?..."
    assert ctl("pull", url, "--no-wait").stdout.startswith(f"pulling {shown}\n")
    pulling.on("GET /v1/pulls", [{"id": 3, "model": shown, "name": None, "since": "", "last": None}])
    pulling.on("POST /v1/pulls/3/cancel", {"id": 3})
    assert ctl("pull", url, "--cancel").stdout == f"cancelled {shown}: what is downloaded is kept\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--limit", "fast"), "'fast' is not a rate: give 20MB/s"),
        (("--window", "at night"), "'at night' is not a window: give its begin and end, such as 01:00-06:00"),
    ],
)
def test_invalid_download_options_are_bad_usage(ctl: Ctl, args: tuple[str, str], said: str) -> None:
    done = ctl("pull", "toy", *args)
    assert done.returncode == 2
    assert said in done.stderr


def test_models_are_listed_with_what_an_owner_asks(ctl: Ctl, daemon: FakeDaemon) -> None:
    damaged = replace(ROW, model="o/other", quant="", damaged="toy has the sha256 1 instead of 2")
    theirs = replace(ROW, model="o/theirs", other_tool=True)
    used = replace(ROW, running="toy", pinned=True, used_at="2026-01-01T00:00:00+00:00")
    daemon.on("GET /v1/models", to_json([used, damaged, theirs]))
    head, first, second, third, total = ctl("models").stdout.splitlines()
    assert head.split() == ["MODEL", "SIZE", "QUANT", "USED", "PINNED", "VERIFIED", "STATE"]
    assert first.split()[:3] == [NAME, "3.0", "GiB"]
    assert "pinned" in first
    assert first.rstrip().endswith("in use by toy")
    assert "damaged" in second
    assert third.rstrip().endswith("owned by another tool")
    assert "at download" in first
    assert "at download" not in third, "nobody knows whether another tool compared digests"
    assert total == "6.0 GiB in total, without linked weights and those of other tools"


def test_no_models_say_how_to_get_some(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/models", [])
    assert ctl("models").stdout == "no weights on this disk: node-ctl pull MODEL downloads some\n"
    assert json.loads(ctl("models", "--json").stdout) == []


def test_names_of_weights_are_completed(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/models", to_json([replace(ROW, model="toy-a"), replace(ROW, model="other")]))
    for command in ("rm", "pin", "unpin", "verify"):
        assert completed(ctl, command, "to") == ["toy-a"]


def test_pin_and_unpin_say_what_they_did(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/models/pin", to_json([ROW]))
    assert ctl("pin", NAME).stdout == f"{NAME} is pinned\n"
    assert ctl("unpin", NAME).stdout == f"{NAME} is no longer pinned\n"
    assert [asked.body for asked in daemon.asked] == [
        {"model": NAME, "pinned": True},
        {"model": NAME, "pinned": False},
    ]


def test_rm_tells_what_is_free_now(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/models/remove", FREED)
    assert ctl("rm", NAME).stdout == f"removed {NAME}: 3.0 GiB freed, 9.0 GiB free\n"


def test_gc_fails_where_it_can_not_free_enough(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/models/gc", {**FREED, "leftovers": 2, "short_bytes": GIB, "dry_run": True})
    done = ctl("gc", "--free", "200GB", "--dry-run")
    assert done.returncode == 1
    assert done.stdout == (
        f"would remove {NAME}, 2 leftovers of downloads: 3.0 GiB\n"
        "9.0 GiB free, 1.0 GiB short: the rest is pinned, in use or owned by another tool\n"
    )
    assert daemon.asked[0].body == {"dry_run": True, "free_bytes": 200_000_000_000}
    assert ctl("gc", "--free", "much").returncode == 2


def test_verify_fails_where_something_is_damaged(ctl: Ctl, daemon: FakeDaemon) -> None:
    sound = VerifyProgress(NAME, "toy-Q8_0.gguf", 10, 10, ended=True, known=True)
    unknown = VerifyProgress("p", "p.gguf", 10, 10, ended=True)
    daemon.on("GET /v1/models/verify", streamed(*(json.dumps(to_json(step)) for step in (sound, unknown))))
    done = ctl("verify")
    assert done.returncode == 0
    assert [row.split()[0] for row in done.stdout.splitlines()] == ["sound", "readable"]
    damaged = replace(sound, damaged="toy has the sha256 1 instead of 2")
    daemon.on("GET /v1/models/verify", streamed(json.dumps(to_json(damaged))))
    done = ctl("verify", NAME)
    assert done.returncode == 1
    assert "toy has the sha256 1 instead of 2" in done.stderr
    assert json.loads(ctl("verify", NAME, "--json").stdout)["damaged"] == damaged.damaged


def test_adopted_files_are_told_by_what_they_can_be_launched_by(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/models/adopt", to_json([ROW]))
    assert ctl("adopt", "~/studio").stdout == f"{NAME}  3.0 GiB\n"
    assert daemon.asked[0].body == {"folder": f"{ctl.home}/studio"}
