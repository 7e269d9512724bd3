"""docs/hardware.md shows what node-ctl probe says of recorded machines, and names every source of a value."""

import re
from pathlib import Path

from domain.machine.provenance import Certainty
from tests.conftest import ROOT
from tests.ctl import hardware_page
from tests.ctl.hardware_page import BLOCK, PAGE
from tests.rigs import nvml


def test_the_page_shows_what_is_said(tmp_path: Path) -> None:
    assert PAGE.read_text() == hardware_page.text(nvml.build(tmp_path)), (
        "write it anew: python -m tests.ctl.hardware_page"
    )
    assert {(kind, machine) for _, kind, machine, _, _ in BLOCK.findall(PAGE.read_text())} == {
        ("probe", "here"),
        ("probe", "dual-3090"),
        ("probe", "dgx-spark"),
        ("probe", "strix-halo-128"),
        ("sources", "strix-halo-128"),
    }


def test_every_source_that_a_value_may_have_is_explained() -> None:
    code = (path.read_text() for room in ("probes", "daemon") for path in (ROOT / room).rglob("*.py"))
    of_sources = (text for text in code if "from domain.machine.provenance import" in text)
    used = {source for text in of_sources for source in re.findall(r'\bProvenance\(\s*"(\w+)"', text)}
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    certainties = {certainty.value for certainty in Certainty}
    assert len(used) > 10
    assert explained == used | certainties
