"""An engine's list of devices is remembered, and asked for again once the machine has other GPUs."""

from dataclasses import replace
from pathlib import Path

from daemon.app import Rooms
from daemon.machine import snapshot
from domain.hardware import Gpu, Hardware
from launchers import llama_cpp
from launchers.base import Places
from tests.daemon.conftest import Running
from tests.launchers.llama_cpp.test_discovery import answering


async def test_a_gpu_that_comes_is_asked_for(daemon: Running, rooms: Rooms, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    binary = answering(tmp_path / "bin" / "llama-server", starts)
    places = Places(search_path=str(binary.parent), embedded=False)
    seen = [Hardware()]
    object.__setattr__(rooms, "engines", lambda: llama_cpp.find(places))
    object.__setattr__(rooms, "probe", lambda: seen[0])
    async with daemon() as api:
        await snapshot.look(api.node)
        await snapshot.look(api.node)
        before = len(starts.read_text())
        await snapshot.look(api.node)
        assert len(starts.read_text()) == before, "nothing changed: nothing is asked"
        seen[0] = replace(seen[0], gpus=(Gpu("pci:0000:01:00.0", "nvidia", "a GPU"),))
        await snapshot.look(api.node)
        await snapshot.look(api.node)
        assert len(starts.read_text()) > before
