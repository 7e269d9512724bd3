"""docs/hardware.md shows what node-ctl probe says of recorded machines, and names every source of a value."""

import re
from pathlib import Path

from tests.ctl import hardware_page
from tests.ctl.hardware_page import BLOCK, PAGE, look
from tests.rigs import nvml
from tests.rigs.trees import MACHINES


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


def test_every_source_that_a_value_may_have_is_explained(tmp_path: Path) -> None:
    library = nvml.build(tmp_path)
    seen = [look(path.stem, library) for path in MACHINES.glob("*.json")]
    used = {told["source"] for box in seen for told in box["sources"].values()}
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert used <= explained
