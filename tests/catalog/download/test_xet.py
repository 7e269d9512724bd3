"""Files that the hub keeps in xet storage, by the real client and a real store in a folder."""

import shutil
from pathlib import Path

import pytest

from catalog.download.download import fetch
from domain.units import MIB
from tests.catalog.fetched import BIG, Gate, blob, close, content, last, parts, weights
from tests.rigs.hub import Hub
from tests.rigs.xet import keep_in_xet

pytestmark = pytest.mark.usefixtures("quick")


def test_a_file_in_xet_storage_comes_from_there(tmp_path: Path, hub: Hub) -> None:
    keep_in_xet(hub, tmp_path / "xet", BIG)
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path / "models"))) == BIG
    assert hub.gets("/cdn/") == []
    assert len(hub.gets("/xet-read-token/")) == 1


def test_it_is_resumed_and_keeps_to_the_limit_like_any_other(tmp_path: Path, hub: Hub) -> None:
    keep_in_xet(hub, tmp_path / "xet", BIG)
    wanted, models = weights(hub, {"a.gguf": BIG}), tmp_path / "models"
    gate = Gate()
    steps = fetch(wanted, models, throttle=gate)
    while not next(steps).bytes_done:
        pass
    close(steps)
    left = parts(models)[0].stat().st_size
    assert 0 < left < len(BIG)
    assert gate.passed_bytes == left, "what comes from there counts"
    assert content(last(fetch(wanted, models))) == BIG
    assert hub.gets("/cdn/") == []


def test_a_resumed_file_is_read_from_where_it_stopped(tmp_path: Path, hub: Hub) -> None:
    """Its first bytes can't come from storage any more: they are not asked for."""
    keep_in_xet(hub, tmp_path / "xet", BIG)
    path = blob(tmp_path / "models", BIG).with_suffix(".incomplete")
    path.parent.mkdir(parents=True)
    path.write_bytes(BIG[: 2 * MIB])
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path / "models"))) == BIG
    assert hub.gets("/cdn/") == []


def test_storage_that_does_not_answer_is_left_for_http(tmp_path: Path, hub: Hub) -> None:
    keep_in_xet(hub, tmp_path / "xet", BIG)
    shutil.rmtree(tmp_path / "xet")
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path / "models"))) == BIG
    assert len(hub.gets("/cdn/")) == 1
