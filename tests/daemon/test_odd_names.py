"""Files whose names are not UTF-8, or hold escapes of terminals: told by an escape, never a fault."""

import os
import shutil
from pathlib import Path

import pytest

from config.settings import Settings
from domain.text import printable
from tests.daemon.conftest import Running

ODD = {
    b"caf\xe9-Q4_1.gguf": "caf\\xe9-Q4_1.gguf",
    "\x1b[2Jx\u202e-Q4_1.gguf".encode(): "\\x1b[2Jx\\u202e-Q4_1.gguf",
}


@pytest.mark.parametrize(("name", "shown"), ODD.items())
async def test_a_model_in_a_file_of_an_odd_name_is_planned_served_and_told(
    daemon: Running, smollm2: Path, tmp_path: Path, name: bytes, shown: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(smollm2, folder / os.fsdecode(name))
    async with daemon() as api:
        plan = await api.post("/v1/plan", model=str(folder))
        assert plan.status_code == 200, plan.text
        assert plan.json()["weights"]["files"][0]["name"] == shown
        row = await api.launched(folder, name="odd")
        assert row["state"] == "ready"
        for path in ("/v1/launches", "/v1/launches/odd", "/v1/models", "/v1/status"):
            assert (await api.http.get(path)).status_code == 200, path


async def test_a_model_of_an_odd_name_in_the_store_is_listed_and_removed(
    daemon: Running, settings: Settings, smollm2: Path
) -> None:
    snapshot = settings.models_dir / "models--a--b" / "snapshots" / ("0123456789" * 4)
    snapshot.mkdir(parents=True)
    shutil.copy(smollm2, snapshot / os.fsdecode(b"m\xff-Q4_1.gguf"))
    async with daemon() as api:
        (model,) = await api.get("/v1/models")
        assert model["files"] == ["m\\xff-Q4_1.gguf"]
        assert (await api.post("/v1/plan", model="a/b")).status_code == 200
        removed = await api.post("/v1/models/remove", model=model["model"])
        assert removed.status_code == 200, removed.text
        assert await api.get("/v1/models") == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, tab\tand newline\n", "plain, tab\tand newline\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("日本語 é", "日本語 é"),
    ],
)
def test_what_has_no_place_in_a_line_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
