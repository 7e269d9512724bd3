"""An engine's list of devices is remembered, and asked for again once the machine has other GPUs."""

from dataclasses import replace
from pathlib import Path

from daemon.app import Adapters
from daemon.machine import snapshot
from domain.machine.hardware import Gpu, Hardware
from launchers import llama_cpp
from launchers.base import SearchPaths
from tests.daemon.conftest import Running
from tests.launchers.llama_cpp.test_discovery import answering


async def test_a_gpu_that_comes_is_asked_for(daemon: Running, adapters: Adapters, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    binary = answering(tmp_path / "bin" / "llama-server", starts)
    places = SearchPaths(search_path=str(binary.parent), embedded=False)
    seen = [Hardware()]
    object.__setattr__(adapters, "engines", lambda: llama_cpp.find(places))
    object.__setattr__(adapters, "probe", lambda: seen[0])
    async with daemon() as api:
        await snapshot.probe_now(api.app)
        await snapshot.probe_now(api.app)
        before = len(starts.read_text())
        await snapshot.probe_now(api.app)
        assert len(starts.read_text()) == before, "nothing changed: nothing is asked"
        seen[0] = replace(seen[0], gpus=(Gpu("pci:0000:01:00.0", "nvidia", "a GPU"),))
        await snapshot.probe_now(api.app)
        await snapshot.probe_now(api.app)
        assert len(starts.read_text()) > before
