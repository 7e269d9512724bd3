"""The whole look: quick, without children, and with no source able to fail the others."""

import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from domain.hardware import Hardware
from domain.jsonable import from_json, to_json
from probes import amd, snapshot


def test_this_machine(see):
    seen = see(Path("/"))
    assert seen.cpu.usable_cpus == len(os.sched_getaffinity(0))
    assert seen.memory.total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < seen.memory.available_bytes <= seen.memory.total_bytes
    assert seen.storage.free_bytes > 0


def test_a_snapshot_survives_json(machine, see):
    seen = see(machine("strix-halo-128"))
    again = from_json(Hardware, json.loads(json.dumps(to_json(seen))))
    assert (again, again.sources) == (seen, seen.sources)


@pytest.mark.parametrize("name", ["strix-halo-128", "i7-1370p", "n100", "rx-7900-xtx"])
def test_every_value_of_the_host_tells_its_source(machine, see, name):
    seen = see(machine(name))
    known = {
        f"{part}.{item.name}"
        for part in ("cpu", "memory", "storage")
        for item in fields(getattr(seen, part))
        if getattr(getattr(seen, part), item.name) not in (None, (), False)
    }
    assert known - seen.sources.keys() <= {"memory.bandwidth_source"}
    assert all(one.source for one in seen.sources.values())


def test_what_is_unknown_has_no_source(tmp_path, see):
    assert set(see(tmp_path).sources) == {"storage.path", "storage.free_bytes", "storage.total_bytes"}


def test_an_empty_root_gives_unknowns_and_says_which(tmp_path, see):
    seen = see(tmp_path)
    assert (seen.cpu.model, seen.memory.total_bytes, seen.gpus, seen.thermals) == (None, None, (), ())
    assert {problem.source for problem in seen.problems} == {"cpu", "memory"}


def test_a_source_that_breaks_fails_no_other(machine, see, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(amd, "probe", broken)
    seen = see(machine("strix-halo-128"))
    assert seen.cpu.physical_cores == 16
    assert [(problem.source, problem.what) for problem in seen.problems] == [
        ("amd", "the probe broke: RuntimeError('a bug')")
    ]


def test_it_is_quick(machine, see):
    root = machine("strix-halo-128")
    took = []
    for _ in range(5):
        began = time.perf_counter()
        see(root)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.15


def test_it_starts_no_child(machine):
    """Counted by the kernel: a process that has waited for no child has used none."""
    code = (
        "import resource, pathlib, sys; from probes import snapshot; root = pathlib.Path(sys.argv[1]);"
        "snapshot.probe(root=root, models_dir=root, known_gpus=());"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(machine("dual-3090"))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_disk_that_cannot_be_asked_is_unknown(machine):
    root = machine("n100")
    seen = snapshot.probe(root=root, models_dir=root / "x\0y", known_gpus=())
    assert seen.storage.free_bytes is None
    assert [problem.source for problem in seen.problems] == ["storage"]
