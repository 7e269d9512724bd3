"""The doctor of a running daemon: its findings, and what a report leaves out."""

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
from daemon.doctor.service import CHECKS, run_checks
from daemon.state.store import Store
from domain.machine.hardware import Problem, ProblemKind
from probes import identifiers
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters
from tests.daemon.doctor.checks.build import HEALTHY
from tests.daemon.killed import served_by_a_killed_daemon
from tests.rigs.hub import Hub
from tests.rigs.trees import plant

KEYS = {"check", "status", "found", "why", "fix", "recheck"}


def finding_of(findings: list[dict[str, Any]], check: str) -> dict[str, Any]:
    return next(finding for finding in findings if finding["check"] == check)


async def test_every_finding_has_the_documented_shape(daemon: Running) -> None:
    async with daemon() as api:
        findings = await api.get("/v1/doctor")
    assert (
        {"daemon", "launches", "engine", "memory", "memlock", "disk", "clock", "problems"}
        <= {finding["check"] for finding in findings}
        <= set(CHECKS)
    )
    assert "hub" not in {finding["check"] for finding in findings}, "nothing goes out unasked"
    for finding in findings:
        assert set(finding) == KEYS
        assert finding["status"] in ("ok", "not_known", "warning", "error")
        assert finding["recheck"] in ("", f"node-ctl doctor --check {finding['check']}")
        assert bool(finding["recheck"]) == (finding["status"] != "ok")


async def test_one_check_is_run_again_once_it_is_fixed(daemon: Running, adapters: Adapters) -> None:
    mismatch = Problem("nvidia", "the libraries don't match the module", "reboot", ProblemKind.DRIVER)
    seen = [(mismatch,), ()]
    sick = replace(adapters, probe=lambda: replace(adapters.probe(), problems=seen[0]))
    async with daemon(sick) as api:
        before = await api.get("/v1/doctor?check=driver")
        seen.pop(0)
        after = await api.get("/v1/doctor?check=driver")
    assert [(finding["check"], finding["status"], finding["fix"]) for finding in before] == [
        ("driver", "error", "reboot")
    ]
    assert after == []


async def test_a_check_that_does_not_exist_is_refused_with_those_that_do(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.http.get("/v1/doctor?check=grups")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_usage"
    assert "groups" in answer.json()["error"]["hint"]


async def test_a_launch_that_failed_is_reported(daemon: Running, settings: Settings, smollm2: Path) -> None:
    async with daemon(fake_adapters(settings, FakeLauncher(("--die", "7")))) as api:
        await api.progress(await api.launch(smollm2, name="tiny"))
        finding = finding_of(await api.get("/v1/doctor?check=launches"), "launches")
    assert finding["status"] == "warning"
    assert finding["found"].startswith("tiny failed and is not restarted: ")
    assert finding["fix"].endswith("or remove it: node-ctl stop tiny --forget")


async def test_a_daemon_that_was_killed_is_reported_by_the_next(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    await asyncio.to_thread(served_by_a_killed_daemon, settings, smollm2)
    async with daemon() as api:
        finding = finding_of(await api.get("/v1/doctor?check=daemon"), "daemon")
        await api.progress("tiny")
    assert finding["status"] == "warning"
    assert finding["found"].startswith("the daemon died once in 7 days")


async def test_an_orderly_end_is_no_death(daemon: Running) -> None:
    for _ in range(2):
        async with daemon() as api:
            finding = finding_of(await api.get("/v1/doctor?check=daemon"), "daemon")
    assert finding["status"] == "ok"


async def test_a_machine_that_went_down_is_reported(daemon: Running, adapters: Adapters) -> None:
    async with daemon() as api:
        path = api.app.store.path
    store = await asyncio.to_thread(Store, path)
    await store.record("daemon", {"since": "then", "ended": False}, boot_id="another")
    await asyncio.to_thread(store.close)
    async with daemon() as api:
        finding = finding_of(await api.get("/v1/doctor?check=daemon"), "daemon")
    assert finding["found"].startswith("the machine went down without a shutdown once")


async def test_the_hub_is_asked_only_when_it_is_asked_for(daemon: Running) -> None:
    """The daemon of these tests is offline: it says so and opens no connection."""
    async with daemon() as api:
        asked = await api.get("/v1/doctor?hub=true")
        alone = await api.get("/v1/doctor?check=hub")
    assert (
        finding_of(asked, "hub")["found"]
        == "whether the hub can be reached: the setting offline forbids asking"
    )
    assert [finding["check"] for finding in alone] == ["hub"]


def test_a_hub_out_of_reach_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    hub = collect.request_hub(offline=False)
    assert hub.address == "http://127.0.0.1:9"
    assert "refused" in hub.error
    assert hub.seconds is None


@pytest.mark.parametrize("portal", ["page", "login"])
def test_a_networks_page_in_the_place_of_the_hub_is_an_error(
    monkeypatch: pytest.MonkeyPatch, portal: str
) -> None:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert collect.request_hub(offline=False).error == ""
        hub.faults.portal = portal
        found = collect.request_hub(offline=False)
    assert found.error == f"the hub does not answer: it sent a page instead of data ({hub.url})"
    assert found.seconds is None


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


async def test_a_report_holds_what_helps_and_no_identifiers(
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
        "tiny: failed, not desired",
        "disk_low",
        "disk_low_bytes = 5368709120",
        '"total_bytes"',
        "root=UUID=<number> quiet",
    ):
        assert helps in text
    assert [secret for secret in PLANTED if secret in text] == []
    assert finding_of(report["findings"], "launches")["status"] == "warning"


async def test_a_report_is_anonymous_on_this_machine_too(daemon: Running) -> None:
    async with daemon() as api:
        text = (await api.get("/v1/doctor/report"))["text"]
    own = await asyncio.to_thread(identifiers.read_identifiers, Path("/"))
    assert [number for number in own.numbers if number in text] == []


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: DoctorInput) -> tuple[Finding, ...]:
        raise KeyError("sm_999")

    monkeypatch.setitem(CHECKS, "cuda", broken)
    findings = run_checks(HEALTHY)
    assert [(finding.status, finding.found) for finding in findings if finding.check == "cuda"] == [
        (Verdict.NOT_KNOWN, "the check failed: KeyError('sm_999')")
    ]
    assert any(finding.check == "problems" for finding in findings), "the last check"
