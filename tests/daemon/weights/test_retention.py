"""Which weights go when room is needed."""

import pytest

from daemon.weights.retention import select_deletions
from domain.models.local_model import LocalModel, ModelNote, StoredFile
from domain.models.model import Source


def stored(name: str, size_bytes: int = 10, **more: object) -> LocalModel:
    files = (StoredFile(name, name, name, size_bytes),)
    return LocalModel(name, Source.HUB, name, "0", "Q8_0", "/m", files, "2026-01-02", **more)  # type: ignore[arg-type]


STORED = (
    stored("new"),
    stored("old"),
    stored("pinned"),
    stored("used"),
    stored("theirs", other_tool=True),
    stored("linked", linked=True),
    stored("never used"),
)
NOTES = {
    "new": ModelNote("new", used_at="2026-03-01"),
    "old": ModelNote("old", used_at="2026-01-01"),
    "pinned": ModelNote("pinned", pinned=True),
}


@pytest.mark.parametrize(
    ("missing_bytes", "gone"),
    [
        pytest.param(-5, [], id="there is room"),
        pytest.param(0, [], id="just enough"),
        pytest.param(1, ["old"], id="the least recently used first"),
        pytest.param(11, ["old", "never used"], id="never used counts from when it came"),
        pytest.param(10**6, ["old", "never used", "new"], id="and never what is pinned, used or another's"),
    ],
)
def test_what_goes(missing_bytes: int, gone: list[str]) -> None:
    assert [
        one.name for one in select_deletions(STORED, NOTES, used={"used"}, missing_bytes=missing_bytes)
    ] == gone
