"""``node-ctl show`` of a model: what launch would choose, and of one that does not fit, what lacks."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.synthetic.header import shape_of
from config.data import catalogue
from ctl.show.details import conversation_lines
from ctl.show.plan import command_lines
from domain.launches.launch import KeptConversations
from domain.models.kinds import DraftMethod, Kind
from domain.models.model import Companion, PassedOver, WeightFile
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon
from tests.rigs.replica import write_replica


def one_line(text: str) -> str:
    """Without the free memory, which changes from one call to the next."""
    return re.sub(r"\d+\.\d GiB", "GiB", " ".join(text.split()))


@pytest.mark.engine
def test_a_model_that_does_not_fit_is_shown_with_what_lacks(owner: Ctl, tmp_path: Path) -> None:
    entry = catalogue()["deepseek-r1"]
    quant = max(entry.quants, key=lambda one: one.size_bytes or 0)
    path = write_replica(tmp_path / "big.gguf", shape_of(entry, quant))

    done = owner("show", str(path))
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:9])
    assert shown["model"].startswith(f"{path}, ")
    assert "GiB (file: " in shown["model"]
    assert shown["context"].split()[1] == "tokens,"
    assert shown["memory"].endswith(", the rest is read from the disk for each token")
    assert f"{path} does not fit: it needs " in shown["lacks"]
    assert "--from-disk" in shown["next"]
    refused = owner("plan", str(path))
    assert refused.returncode == 4
    told = json.loads(owner("show", str(path), "--json").stdout)
    assert one_line(refused.stderr) == one_line(
        f"node-ctl: {told['refusal']['message']} hint: {told['refusal']['hint']}"
    )


@pytest.mark.engine
def test_a_folder_of_ones_own_has_the_quant_of_its_header_and_is_no_download(
    owner: Ctl, tmp_path: Path, smollm2: Path
) -> None:
    (tmp_path / "rel").mkdir()
    (tmp_path / "rel" / "tiny.gguf").symlink_to(smollm2)
    done = owner("show", str(tmp_path / "rel"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"model     {tmp_path}/rel, Q4_1, 94 MiB (file: ")
    assert "node-ctl pull" not in done.stdout
    assert "refusal" in json.loads(owner("show", str(tmp_path / "rel"), "--json").stdout)


def test_kept_conversations_are_told_once_there_are_some() -> None:
    assert conversation_lines(KeptConversations()) == []
    kept = KeptConversations(in_memory=2, on_disk=3, disk_bytes=GIB)
    assert conversation_lines(kept) == ["kept      conversations: 2 in memory, 3 on disk (1.0 GiB)"]
    [line] = conversation_lines(replace(kept, saves=False))
    assert line.endswith("2 in memory, they are not saved")


def test_explain_lists_more_files_of_the_repository(ctl: Ctl, daemon: FakeDaemon) -> None:
    projector = Companion(Kind.PROJECTOR, WeightFile("mmproj-F16.gguf", 812 << 20))
    plan = replace(answers.PLAN, weights=replace(answers.PLAN.weights, beside=(projector,)))
    daemon.on("POST /v1/plan", to_json(plan))
    assert "mmproj-F16.gguf (mmproj, 812 MiB)" in ctl("plan", "m", "--explain").stdout
    assert "mmproj" not in ctl("plan", "m").stdout


def test_explain_and_show_tell_what_each_file_is_and_why_one_is_passed_over(
    ctl: Ctl, daemon: FakeDaemon
) -> None:
    draft = Companion(Kind.DRAFT, WeightFile("dflash-M.gguf", 3 << 20), DraftMethod.DFLASH)
    copy = PassedOver("old/M.gguf", "M.gguf is the same quant")
    weights = replace(answers.PLAN.weights, beside=(draft,), passed_over=(copy,))
    daemon.on("POST /v1/plan", to_json(replace(answers.PLAN, weights=weights)))
    daemon.on("GET /v1/launches", [])
    daemon.on("GET /v1/models", [])
    explained = ctl("plan", "m", "--explain").stdout
    assert "dflash-M.gguf (draft, draft-dflash, 3 MiB)" in explained
    assert "passed over\n  - old/M.gguf: M.gguf is the same quant\n" in explained
    shown = ctl("show", "m").stdout
    assert "beside    dflash-M.gguf (draft, draft-dflash, 3 MiB)\n" in shown
    assert "no use    old/M.gguf: M.gguf is the same quant\n" in shown


def test_the_command_is_wrapped_so_that_it_can_be_pasted() -> None:
    plan = replace(answers.PLAN, argv=("/opt/llama server", *("--ctx-size", "4096", "--cache-ram", "-1") * 4))
    [whole] = command_lines(plan, None)
    lines = command_lines(plan, 60)
    assert max(map(len, lines)) <= 60 < len(whole)
    assert [line.endswith(" \\") for line in lines] == [True] * (len(lines) - 1) + [False]
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(whole), "as a shell reads it"
