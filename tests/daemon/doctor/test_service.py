"""The doctor of a running daemon: what it looks at, what it tells, and what stays at home."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.app import Adapters
from daemon.doctor import collect
from daemon.doctor.checks.finding import Finding, Verdict
from daemon.doctor.checks.input import DoctorInput
from daemon.doctor.service import CHECKS, findings
from daemon.state.store import Store
from domain.hardware import Problem, ProblemKind
from probes import identifiers
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters
from tests.daemon.doctor.checks.build import WELL
from tests.daemon.killed import served_by_a_killed_daemon
from tests.rigs.trees import plant

KEYS = {"check", "status", "found", "why", "fix", "recheck"}


def of(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    return next(one for one in found if one["check"] == check)


async def test_every_finding_has_the_documented_shape(daemon: Running) -> None:
    async with daemon() as api:
        found = await api.get("/v1/doctor")
    assert (
        {"daemon", "launches", "engine", "memory", "memlock", "disk", "clock", "problems"}
        <= {one["check"] for one in found}
        <= set(CHECKS)
    )
    assert "hub" not in {one["check"] for one in found}, "nothing goes out unasked"
    for one in found:
        assert set(one) == KEYS
        assert one["status"] in ("ok", "not_known", "warning", "error")
        assert one["recheck"] in ("", f"node-ctl doctor --check {one['check']}")
        assert bool(one["recheck"]) == (one["status"] != "ok")


async def test_one_check_is_run_again_once_it_is_fixed(daemon: Running, adapters: Adapters) -> None:
    mismatch = Problem("nvidia", "the libraries don't match the module", "reboot", ProblemKind.DRIVER)
    seen = [(mismatch,), ()]
    sick = replace(adapters, probe=lambda: replace(adapters.probe(), problems=seen[0]))
    async with daemon(sick) as api:
        before = await api.get("/v1/doctor?check=driver")
        seen.pop(0)
        after = await api.get("/v1/doctor?check=driver")
    assert [(one["check"], one["status"], one["fix"]) for one in before] == [("driver", "error", "reboot")]
    assert after == []


async def test_a_check_that_does_not_exist_is_refused_with_those_that_do(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.http.get("/v1/doctor?check=grups")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_usage"
    assert "groups" in answer.json()["error"]["hint"]


async def test_a_launch_that_failed_is_told(daemon: Running, settings: Settings, smollm2: Path) -> None:
    async with daemon(fake_adapters(settings, FakeLauncher(("--die", "7")))) as api:
        await api.progress(await api.launch(smollm2, name="tiny"))
        told = of(await api.get("/v1/doctor?check=launches"), "launches")
    assert told["status"] == "warning"
    assert told["found"].startswith("tiny failed and was given up: ")
    assert told["fix"].endswith("or clear it: node-ctl stop tiny --forget")


async def test_a_daemon_that_was_killed_is_told_by_the_next(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    await asyncio.to_thread(served_by_a_killed_daemon, settings, smollm2)
    async with daemon() as api:
        told = of(await api.get("/v1/doctor?check=daemon"), "daemon")
        await api.progress("tiny")
    assert told["status"] == "warning"
    assert told["found"].startswith("died once in 7 days")


async def test_an_orderly_end_is_no_death(daemon: Running) -> None:
    for _ in range(2):
        async with daemon() as api:
            told = of(await api.get("/v1/doctor?check=daemon"), "daemon")
    assert told["status"] == "ok"


async def test_a_machine_that_went_down_is_told(daemon: Running, adapters: Adapters) -> None:
    async with daemon() as api:
        path = api.app.store.path
    store = await asyncio.to_thread(Store, path)
    await store.record("daemon", {"since": "then", "ended": False}, boot_id="another")
    await asyncio.to_thread(store.close)
    async with daemon() as api:
        told = of(await api.get("/v1/doctor?check=daemon"), "daemon")
    assert told["found"].startswith("the machine went down without warning once")


async def test_the_hub_is_asked_only_when_it_is_asked_for(daemon: Running) -> None:
    """The daemon of these tests is offline: it says so and opens no connection."""
    async with daemon() as api:
        asked = await api.get("/v1/doctor?hub=true")
        alone = await api.get("/v1/doctor?check=hub")
    assert of(asked, "hub")["found"] == "the setting offline is true, so the hub was not asked"
    assert [one["check"] for one in alone] == ["hub"]


def test_a_hub_out_of_reach_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    reached = collect.reach(offline=False)
    assert reached.address == "http://127.0.0.1:9"
    assert "refused" in reached.error
    assert reached.seconds is None


SECRETS = {
    "etc/hostname": "attic-box\n",
    "etc/machine-id": "4f1c2b7a9d3e4f5a8b6c7d8e9f0a1b2c\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/class/dmi/id/product_serial": "PF4XK2LM\n",
    "sys/class/net/enp1s0/address": "9c:6b:00:12:34:56\n",
    "sys/block/nvme0n1/device/serial": "S6Z1NJ0W123456\n",
    "proc/cmdline": "root=UUID=18e645be-29c9-445c-9958-2a641ab0cd99 quiet\n",
}
LOG = """attic-box starts llama-server /home/ada-lovelace/m.gguf --api-key sesame1234
HF_TOKEN=hf_abcdefghijklmnop from 192.168.7.9, disk S6Z1NJ0W123456, GPU-8f6d2c1e-1a2b-3c4d-5e6f-708192a3b4c5
ggml_cuda_init: no kernel image is available
"""
PLANTED = (
    "attic-box", "4f1c2b7a", "PF4XK2LM", "9c:6b", "S6Z1NJ0W", "18e645be", "ada-lovelace", "sesame", "hf_abc",
    "192.168", "8f6d2c1e", "secret-place",
)  # fmt: skip


async def test_a_report_holds_what_helps_and_nothing_of_whose_it_is(
    daemon: Running, settings: Settings, smollm2: Path, tmp_path: Path
) -> None:
    root = await asyncio.to_thread(plant, tmp_path / "root", SECRETS)
    adapters = fake_adapters(settings, FakeLauncher(("--die", "7")))
    async with daemon(adapters) as api:
        object.__setattr__(api.app, "settings", settings.model_copy(update={"sysroot": root}))
        await api.progress(await api.launch(smollm2, name="tiny"))
        await asyncio.to_thread(api.app.log_path("tiny").write_text, LOG)
        await api.app.events.append("disk_low", "/home/secret-place has 1 GiB free")
        report = await api.get("/v1/doctor/report")
    text = report["text"]
    assert text.startswith("# node-daemon report\n")
    for helps in (
        "no kernel image is available",
        "Debian GNU/Linux 12",
        "tiny: failed, not wanted",
        "disk_low",
        "disk_low_bytes = 5368709120",
        '"total_bytes"',
        "root=UUID=<number> quiet",
    ):
        assert helps in text
    assert [secret for secret in PLANTED if secret in text] == []
    assert of(report["findings"], "launches")["status"] == "warning"


async def test_a_report_is_anonymous_on_this_machine_too(daemon: Running) -> None:
    async with daemon() as api:
        text = (await api.get("/v1/doctor/report"))["text"]
    own = await asyncio.to_thread(identifiers.read_identifiers, Path("/"))
    assert [number for number in own.numbers if number in text] == []


def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: DoctorInput) -> tuple[Finding, ...]:
        raise KeyError("sm_999")

    monkeypatch.setitem(CHECKS, "cuda", broken)
    told = findings(WELL)
    assert [(one.status, one.found) for one in told if one.check == "cuda"] == [
        (Verdict.NOT_KNOWN, "the check broke: KeyError('sm_999')")
    ]
    assert any(one.check == "problems" for one in told), "the last one"
